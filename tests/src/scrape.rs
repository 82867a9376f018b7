//! What an HTTP client sees of the agent.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

/// An answer takes milliseconds on a quiet machine; longer than this it hangs on any.
const LIMIT: Duration = Duration::from_mins(2);

/// Status and body of one answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// GET `path`.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .with_context(|| format!("no HTTP answer: {text}"))?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    ensure!(!chunked, "the answer is chunked: {head}");
    let status = head.split(' ').nth(1).context("no HTTP status")?.parse()?;
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}

/// One series of an exposition.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Name and labels, as written.
    pub series: String,
    pub value: f64,
}

/// One scrape.
#[derive(Debug)]
pub struct Exposition {
    pub text: String,
    pub samples: Vec<Sample>,
}

impl Exposition {
    /// Scrapes.
    pub fn fetch(address: SocketAddr) -> Result<Self> {
        let answer = get(address, "/metrics")?;
        ensure!(
            answer.status == 200,
            "/metrics: status {}: {}",
            answer.status,
            answer.body
        );
        Self::parse(answer.body)
    }

    fn parse(text: String) -> Result<Self> {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (series, value) = line
                .rsplit_once(' ')
                .with_context(|| format!("no sample: {line}"))?;
            Ok(Sample {
                series: series.to_owned(),
                value: value.parse()?,
            })
        });
        let samples = samples.collect::<Result<_>>()?;
        Ok(Self { text, samples })
    }

    /// Sum over the series of metric `name` that have all of these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let wanted: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{value}\""))
            .collect();
        let mut found = self
            .samples
            .iter()
            .filter(|sample| sample.series.split('{').next() == Some(name))
            .filter(|sample| wanted.iter().all(|label| sample.series.contains(label)))
            .peekable();
        ensure!(
            found.peek().is_some(),
            "no series {name} {labels:?} in\n{}",
            self.text
        );
        Ok(found.map(|sample| sample.value).sum())
    }

    /// Like [`Self::value`], for one root.
    pub fn of_root(&self, name: &str, root: &str) -> Result<f64> {
        self.value(name, &[("root", root)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_name_and_labels() {
        let text = "# HELP a b\na_total{root=\"x\",kind=\"y\"} 7\na{root=\"x\"} 1\na_total{root=\"z\"} 2\n";
        let exposition = Exposition::parse(text.to_owned()).unwrap();
        assert_eq!(exposition.of_root("a_total", "x").unwrap().to_string(), "7");
        assert_eq!(exposition.value("a_total", &[]).unwrap().to_string(), "9");
        assert!(exposition.of_root("a", "z").is_err());
    }
}
