"""A policy in a file that runs without this library: TorchScript or ONNX, checked against the policy itself."""

FORMATS = {"torchscript": ".pt", "onnx": ".onnx", "onnx_int8": ".onnx"}  # and the suffix of the file
