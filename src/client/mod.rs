//! What a tenant's tool calls.
