"""The benchmark: load, baselines and reports. It talks HTTP, and imports of Tandem the contract only."""
