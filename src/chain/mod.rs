//! Adapter: node queries over RPC, transactions and keys.
