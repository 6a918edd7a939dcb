"""The benchmark: load, baselines and reports. It calls servers over HTTP."""
