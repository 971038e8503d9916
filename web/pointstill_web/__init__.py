"""Files for pages: `vendor/three` and `vendor/onnxruntime`, put there by `web/fetch.py`."""
