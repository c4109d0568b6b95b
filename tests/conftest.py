"""One thread for each test process: parallel workers would otherwise contend for the cores."""

import torch

torch.set_num_threads(1)
