//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    ringfleet::net::tls::install_provider();
    ringfleet::cli::main()
}
