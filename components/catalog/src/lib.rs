//! Products, variants, categories and tags
