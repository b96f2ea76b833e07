//! The command `pgoutput-decoder`.

mod command;

fn main() -> std::process::ExitCode {
    command::run()
}
