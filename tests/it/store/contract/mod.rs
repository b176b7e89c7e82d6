//! What every store promises, whatever its engine.

pub(crate) mod executors;
pub(crate) mod inbox;
pub(crate) mod operator;
pub(crate) mod pages;
pub(crate) mod shared;
pub(crate) mod steps;
