//! The command line: one file a command. The only layer that knows every adapter and puts them together.

pub mod host;
pub mod relay;
pub mod settings;
pub mod webhook;
