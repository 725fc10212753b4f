//! The front of `influx_front/` as a program, to stand before a real InfluxDB 1.x in `tests/real`.
//!
//! `cargo run --example influx-front -- --listen 127.0.0.1:18087 --upstream 127.0.0.1:18086 --db ringfleet`

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "influx_front/mod.rs"]
mod influx_front;

use std::net::SocketAddr;

use clap::Parser;

use influx_front::{Config, Fault, Front};

/// The write APIs of InfluxDB 1.x, 2 and 3 before InfluxDB 1.x, with faults on demand.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one. The address is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The token that opens the bucket.
    #[arg(long, default_value = "t0ken")]
    token: String,
    /// The organisation.
    #[arg(long, default_value = "o")]
    org: String,
    /// The bucket.
    #[arg(long, default_value = "b")]
    bucket: String,
    /// A real InfluxDB 1.x, as http://HOST:PORT; without it lines stay in memory.
    #[arg(long)]
    upstream: Option<String>,
    /// The database there.
    #[arg(long, default_value = "ringfleet")]
    db: String,
    /// Largest body, bytes after decompression.
    #[arg(long, default_value_t = usize::MAX)]
    max_body: usize,
    /// Faults of the first writes: 503 429:2 hang drop stored-drop.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let faults: Vec<Fault> = arguments.faults.iter().map(|fault| fault.parse()).collect::<Result<_, _>>()?;
    let upstream = arguments.upstream.map(|url| {
        let server = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        (server, arguments.db)
    });
    let query = format!("org={}&bucket={}", arguments.org, arguments.bucket);
    let front = Front::start(Config {
        listen: arguments.listen,
        token: arguments.token,
        org: arguments.org,
        bucket: arguments.bucket,
        max_body: arguments.max_body,
        upstream,
        ..Config::default()
    })?;
    front.fail_next(faults);
    println!("http://{}?{query}", front.addr);
    loop {
        std::thread::park();
    }
}
