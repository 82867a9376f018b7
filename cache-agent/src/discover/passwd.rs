//! The users of the host, from the text of `/etc/passwd`.
//!
//! Users known only to a directory service are not listed there: name their caches as `[[root]]`.

use std::path::PathBuf;

/// One user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric identity.
    pub uid: u32,
    /// Home directory, absolute.
    pub home: PathBuf,
}

/// Reads all well-formed lines and passes over the rest, as the C library does.
pub fn parse(text: &str) -> Vec<User> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.parse().ok()?;
    let home = fields.nth(2)?;
    let usable = !name.is_empty() && !name.starts_with(['#', '+', '-']) && home.starts_with('/');
    usable.then(|| User {
        name: name.to_owned(),
        uid,
        home: PathBuf::from(home),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text = "root:x:0:0:root:/root:/bin/bash\n\
                    # comment\n\
                    \n\
                    +nis::::::\n\
                    short:x:1\n\
                    bad:x:uid:0::/bad:/bin/sh\n\
                    relative:x:2:2::home:/bin/sh\n\
                    alice:x:1000:1000:Alice,,,:/home/alice:/bin/sh\n";
        let users: Vec<(String, u32)> = parse(text)
            .into_iter()
            .map(|user| (user.name, user.uid))
            .collect();
        assert_eq!(users, [("root".to_owned(), 0), ("alice".to_owned(), 1000)]);
        assert_eq!(
            parse(text).last().map(|user| user.home.clone()),
            Some(PathBuf::from("/home/alice"))
        );
    }
}
