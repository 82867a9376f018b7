//! What the command line says instead of the file.

use std::{net::SocketAddr, path::PathBuf};

use super::{Config, error::ConfigError, roots};

/// Values of the command line that win over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Replace the file's roots and discovery when there are any; must be absolute.
    pub roots: Vec<PathBuf>,
    /// Replaces the file's address.
    pub listen: Option<SocketAddr>,
    /// Replaces the file's state directory; must be absolute.
    pub state_dir: Option<PathBuf>,
}

impl Config {
    /// The configuration with the command line's values in place.
    pub fn overridden(mut self, overrides: &Overrides) -> Result<Self, ConfigError> {
        let Overrides {
            roots,
            listen,
            state_dir,
        } = overrides;
        if let Some(listen) = listen {
            self.server.listen = *listen;
        }
        if let Some(state_dir) = state_dir {
            self.state.directory.clone_from(state_dir);
        }
        if !roots.is_empty() {
            self.discovery.enabled = false;
            self.roots = roots::of_paths(roots)?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    #[test]
    fn command_line_replaces_roots_and_discovery() {
        let file = parse("discover = true\n[[root]]\npath = \"/a\"", Path::new("f")).unwrap();
        let none = file.clone().overridden(&Overrides::default()).unwrap();
        assert_eq!(none, file);
        let listen = Some("0.0.0.0:1".parse().unwrap());
        let roots = vec!["/x/go-build".into(), "/y/go-build".into()];
        let read = file
            .clone()
            .overridden(&Overrides {
                roots,
                listen,
                state_dir: Some("/srv/other".into()),
            })
            .unwrap();
        let names: Vec<&str> = read.roots.iter().map(|root| root.name.as_str()).collect();
        assert_eq!(names, ["go-build", "go-build-2"]);
        assert_eq!(
            (
                read.discovery.enabled,
                read.server.listen.to_string(),
                read.state.directory.as_path()
            ),
            (false, "0.0.0.0:1".to_owned(), Path::new("/srv/other"))
        );
        for (path, expected) in [
            (
                "x",
                "invalid value of `--root` at the command line: `x` must be an absolute path",
            ),
            (
                "/x/",
                "invalid value of `--root` at the command line: another root has the path /x already; paths must be unique",
            ),
        ] {
            let overrides = Overrides {
                roots: vec!["/x".into(), path.into()],
                ..Overrides::default()
            };
            assert_eq!(
                file.clone().overridden(&overrides).unwrap_err().to_string(),
                expected
            );
        }
    }
}
