"""Pictures in; every file written whole or not at all."""
