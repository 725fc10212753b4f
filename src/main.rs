//! Parse, run, exit code.

/// Workers make records that the counting thread drops: with the system's allocator that costs a lock each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ringfleet::net::tls::install_provider();
    ringfleet::cli::main()
}
