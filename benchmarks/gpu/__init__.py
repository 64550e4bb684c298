"""`python -m benchmarks gpu`: whether what trains is right and fast on this machine's GPU, in four minutes.

It needs torch, torchvision, numpy, safetensors, rich, typer, scikit-learn, PyYAML and pydantic alone; timm where it is.
"""
