//! Hands the command line to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    lessor::cmd::main(std::env::args_os())
}
