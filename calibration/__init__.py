"""Image sets with known truth: phantoms now, data-set adapters later."""
