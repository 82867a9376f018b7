//! The HTTP server: `listen`, `hosts`.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Serialize;
use toml::Spanned;

use super::{
    error::ConfigError,
    section::{Keys, Reader},
};

/// Port of the HTTP server: the exporters' range 9100-9999 is fully allocated.
const DEFAULT_PORT: u16 = 10435;

/// Where metrics are served.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Server {
    /// Address of the HTTP server.
    pub listen: SocketAddr,
    /// Names by which it may be asked, besides addresses, `localhost` and the machine's own.
    pub hosts: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            hosts: Vec::new(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` must be an IP address and a port such as 127.0.0.1:10435 or [::1]:10435")]
struct NoAddress(String);

#[derive(Debug, thiserror::Error)]
#[error("`{0}` must be a name of a host such as metrics.example.com, without a port")]
struct NoHost(String);

impl Server {
    pub(super) fn check(
        self,
        listen: Option<Spanned<String>>,
        hosts: Option<Spanned<Vec<String>>>,
        reader: Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let address = |text: String| text.parse().map_err(|_unreadable| NoAddress(text));
        let listen = reader.read("listen", listen, address)?;
        let hosts = reader.read("hosts", hosts, check_hosts)?;
        Ok(Self {
            listen: listen.unwrap_or(self.listen),
            hosts: hosts.unwrap_or(self.hosts),
        })
    }

    /// What differs in `new`.
    pub(super) fn difference(&self, new: &Self) -> Keys {
        let Self { listen, hosts } = self;
        let comparisons = [
            ("listen", *listen == new.listen),
            ("hosts", *hosts == new.hosts),
        ];
        Keys::differing(comparisons).after_restart()
    }
}

fn check_hosts(hosts: Vec<String>) -> Result<Vec<String>, NoHost> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = |name: &&String| !name.is_empty() && name.bytes().all(is_part);
    match hosts.iter().find(|name| !is_name(name)) {
        Some(name) => Err(NoHost(name.clone())),
        None => Ok(hosts),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::config::parse;

    #[test]
    fn every_key_arrives() {
        let text = "listen = \"[::1]:9\"\nhosts = [\"metrics.example\"]";
        let read = parse(text, Path::new("f")).unwrap().server;
        let expected = Server {
            listen: "[::1]:9".parse().unwrap(),
            hosts: vec!["metrics.example".to_owned()],
        };
        assert_eq!(read, expected);
        let shown = json!({"listen": "[::1]:9", "hosts": ["metrics.example"]});
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
        let error = parse("hosts = [\"a:1\"]", Path::new("f")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid value of `hosts` at f:1:9: `a:1` must be a name of a host such as metrics.example.com, without a port"
        );
    }
}
