//! The arguments of `labwire demo`.

use std::net::SocketAddr;

use clap::Args;

/// Run a whole simulated hospital in one process, console included
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  labwire demo
  labwire demo --listen 127.0.0.1:9000 --speed 10")]
pub struct DemoArgs {
    /// Where the console listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How many times faster than life, from 0.1 to 1000
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = speed)]
    pub speed: f64,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "write a number, such as 10")?;
    if (0.1..=1000.0).contains(&speed) {
        Ok(speed)
    } else {
        Err("between 0.1 and 1000".to_owned())
    }
}
