//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    ringfleet::cli::main()
}
