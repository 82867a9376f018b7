//! The listener answers who may ask, whoever else holds connections.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use cache_tests::scrape;

use crate::{Host, RECOVERS};

/// Three times as many as are served at once.
const HELD: usize = 200;

#[test]
fn connections_that_are_only_held_keep_no_scraper_out() -> Result<()> {
    let mut host = Host::new("held", "")?;
    let address = host.daemon.address();
    let mut held = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        held.clear();
        for _ in 0..HELD {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\n")?;
            held.push(stream);
        }
        let asked = Instant::now();
        ensure!(scrape::get(address, "/healthz")?.status == 200);
        ensure!(asked.elapsed() < RECOVERS, "{:?}", asked.elapsed());
    }
    host.is_unharmed()
}

#[test]
fn a_page_on_the_web_that_has_the_agents_address_learns_nothing() -> Result<()> {
    let host = Host::new("rebound", "hosts = [\"metrics.example\"]")?;
    for (head, status) in [
        ("Host: metrics.example", "200"),
        ("Host: evil.example", "403"),
        ("Host: localhost\r\nOrigin: http://evil.example", "403"),
    ] {
        let mut stream = TcpStream::connect(host.daemon.address())?;
        write!(stream, "GET /metrics HTTP/1.1\r\n{head}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let expected = format!("HTTP/1.1 {status} ");
        ensure!(answer.starts_with(&expected), "{head}: {answer}");
        ensure!(answer.contains("go_cache_") == (status == "200"), "{head}");
    }
    Ok(())
}
