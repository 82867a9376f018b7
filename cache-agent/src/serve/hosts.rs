//! By which names the agent may be asked: a page on the web that gives its own name the agent's address (DNS
//! rebinding) must learn nothing.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Uri,
    header::{HOST, HeaderValue, ORIGIN},
};

/// The names; addresses and `localhost` always count.
#[derive(Clone, Debug)]
pub struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// The machine's own name, with and without its domain, and these.
    pub fn of_machine_and(configured: &[String]) -> Self {
        let own = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let short = own.split('.').next().unwrap_or_default().to_owned();
        let names = [own, short].into_iter().chain(configured.iter().cloned());
        Self {
            names: names.filter(|name| !name.is_empty()).collect(),
        }
    }

    /// Whether every place that the request says it is for, or comes from, is one of them. Only browsers can be
    /// led astray, and they always say.
    pub(super) fn allow(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let mut asked = headers.get_all(HOST).iter().map(text);
        let mut origins = headers.get_all(ORIGIN).iter().map(text);
        uri.host().is_none_or(|host| self.allows_name(host))
            && asked.all(|host| host.is_some_and(|host| self.allows(&host)))
            && origins.all(|origin| origin.is_some_and(|origin| self.allows_origin(&origin)))
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let place = origin.split_once("://").map(|(_, place)| place);
        place.is_some_and(|place| self.allows(place))
    }

    /// `name`, `name:port`, `address:port`, `[address]:port`.
    fn allows(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        self.allows_name(name)
    }

    fn allows_name(&self, name: &str) -> bool {
        let address = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        if address.unwrap_or(name).parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_it = |own: &String| own.eq_ignore_ascii_case(name);
        name.eq_ignore_ascii_case("localhost") || self.names.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, headers: &[(hyper::header::HeaderName, &str)]) -> bool {
        let hosts = Hosts {
            names: vec!["build7.corp.example".to_owned(), "build7".to_owned()],
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()));
        hosts.allow(&uri.parse().unwrap(), &headers.collect())
    }

    #[test]
    fn addresses_localhost_and_own_names_are_answered_and_no_others() {
        for (host, expected) in [
            ("127.0.0.1:10435", true),
            ("127.0.0.1", true),
            ("[::1]:10435", true),
            ("[fe80::1]", true),
            ("localhost:10435", true),
            ("LOCALHOST.", true),
            ("build7:1", true),
            ("Build7.corp.example", true),
            ("evil.example:10435", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("build7.evil.example", false),
            ("user@localhost", false),
            ("", false),
            ("[evil]:1", false),
        ] {
            assert_eq!(check("/metrics", &[(HOST, host)]), expected, "{host}");
            let origin = format!("http://{host}");
            let asked = [(HOST, "127.0.0.1"), (ORIGIN, origin.as_str())];
            assert_eq!(check("/metrics", &asked), expected, "{origin}");
        }
        assert!(check("/", &[]));
        assert!(!check("/", &[(HOST, "localhost"), (ORIGIN, "null")]));
        assert!(!check("/", &[(HOST, "localhost"), (HOST, "evil.example")]));
        assert!(!check("http://evil.example/", &[(HOST, "localhost")]));
        assert!(check("http://localhost:1/", &[(HOST, "localhost")]));
    }

    #[test]
    fn the_machine_and_those_named_are_asked_by_their_names() {
        let hosts = Hosts::of_machine_and(&["metrics.example".to_owned()]);
        assert!(hosts.allows("metrics.example:80"));
        let own = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        assert!(hosts.allows(&own));
    }
}
