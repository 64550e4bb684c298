"""Files of a network that ships beside `model.onnx`, each for a runtime of its own."""
