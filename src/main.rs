//! Parses the command line and calls the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    lessor::cmd::run(lessor::cmd::Lessor::parse())
}
