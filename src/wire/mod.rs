//! The chain's protobuf messages, event JSON and sign bytes; pure.
