//! The HTTP server: `listen`.

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
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` must be an IP address and a port such as 127.0.0.1:10435 or [::1]:10435")]
struct NoAddress(String);

impl Server {
    pub(super) fn check(
        self,
        listen: Option<Spanned<String>>,
        reader: Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let address = |text: String| text.parse().map_err(|_unreadable| NoAddress(text));
        let listen = reader.read("listen", listen, address)?;
        Ok(Self {
            listen: listen.unwrap_or(self.listen),
        })
    }

    /// What differs in `new`.
    pub(super) fn difference(&self, new: &Self) -> Keys {
        Keys::differing([("listen", self == new)]).after_restart()
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
        let text = "listen = \"[::1]:9\"";
        let read = parse(text, Path::new("f")).unwrap().server;
        let expected = Server {
            listen: "[::1]:9".parse().unwrap(),
        };
        assert_eq!(read, expected);
        let shown = json!({"listen": "[::1]:9"});
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
    }
}
