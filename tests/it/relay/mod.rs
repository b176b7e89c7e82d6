//! The relay against a recorded node.
