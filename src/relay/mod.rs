//! The reference indexer.
