"""The paper's experiments, one file a table or figure, at three sizes.

    python -m experiments table5 --size cpu --seeds 3

writes results/experiments/table5-cpu.json: for every case and seed what was measured, with the
settings, the device, versions and seconds. The book reads these files; no number of them is typed.

`quick` takes minutes and shows that the code runs; `cpu` is what the book prints, within an hour on
two free cores (stored seconds are of shared ones: `table2_fashion`, `readings`, `inpainting`,
`table3`, `table8` and `table6` took longer there); `gpu` is the paper's size.
"""
