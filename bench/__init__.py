"""Programs that measure what the promises cost; nothing here is part of the product, and nothing imports it."""
