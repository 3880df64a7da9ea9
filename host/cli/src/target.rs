//! The database URL, where it is taken in. The host's own sessions and those of modules have drivers that read a URL each in its own way: what
//! is not the same to both is refused, or one half would be somewhere else than the other, or protected less than the URL says.

use anyhow::{Result, bail};
use host_sql::Target;
use host_store::{Host, Server};
use tokio_postgres::config::Host as ModuleHost;

const WAY_OUT: &str = "name one host, with its port if it is not 5432, and a database, and write as %XX whatever is no letter and no digit in \
                       user, password and database (@ is %40, : is %3A, / is %2F, ? is %3F, # is %23, % is %25)";

/// Where modules find the database that this URL names, by the same variables that the host's own driver looks at.
pub(crate) fn target(database_url: &str) -> Result<Target> {
    read(database_url, |name| std::env::var(name).ok())
}

/// No message repeats any of the URL: what is read in two ways may have a part of the password in it.
fn read(url: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Target> {
    if url.contains('#') {
        bail!("the database URL has a # in it, which ends it for some sessions: write %23");
    }
    if url.trim() != url || url.contains(char::is_control) {
        bail!("the database URL begins or ends with a blank, or has a control character in it: take that out");
    }
    if url
        .split_once('?')
        .is_some_and(|(_, parameters)| parameters.contains('+'))
    {
        bail!(
            "the database URL has a + among its parameters, which is a blank to some sessions: write %2B, and %20 for a blank"
        );
    }
    let target = Target::read(url, environment)?;
    if let Some(part) = differing(&target, &Server::read(url)?) {
        bail!(
            "the database URL does not say the same {part} to all sessions, or the environment says it to some of them (PGHOST, PGPORT, \
             PGDATABASE, PGOPTIONS): {WAY_OUT}"
        );
    }
    Ok(target)
}

/// What the two drivers read differently, or do not find at all where each takes something else then. Of user and password modules have their
/// own.
fn differing(target: &Target, server: &Server) -> Option<&'static str> {
    let config = &target.config;
    let host = match (config.get_hosts(), config.get_hostaddrs()) {
        ([ModuleHost::Tcp(name)], []) => Some(Host::tcp(name)),
        ([ModuleHost::Unix(folder)], []) => Some(Host::Unix(folder.clone())),
        ([], [address]) => Some(Host::Tcp(address.to_string())),
        _ => None,
    };
    let port = match config.get_ports() {
        [] => Some(5432),
        [port] => Some(*port),
        _ => None,
    };
    let is_same_user = config.get_user().is_none_or(|user| user == server.user);
    let is_same_options = config.get_options().is_none() || config.get_options() == server.options.as_deref();
    let parts = [
        (host.as_ref() == Some(&server.host), "host"),
        (port == Some(server.port), "port"),
        (is_same_user, "user"),
        (
            config.get_dbname().is_some() && config.get_dbname() == server.database.as_deref(),
            "database",
        ),
        (is_same_options, "options"),
        (target.tls.demand() == server.tls, "sslmode"),
    ];
    parts.into_iter().find_map(|(is_same, part)| (!is_same).then_some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        match read(url, |_| None) {
            Ok(target) => panic!("{url} is taken as {target:?}"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn what_both_read_is_taken_as_it_is_meant() {
        // What stands between // and /, and what it means: user, password, host, port.
        let cases = [
            ("u:p@db.example", "u", "p", "db.example", 5432),
            ("u:p@db.example:77", "u", "p", "db.example", 77),
            ("u:p@db.example:", "u", "p", "db.example", 5432),
            ("u:p@[::1]:77", "u", "p", "::1", 77),
            ("u:p@[0:0:0:0:0:0:0:1]", "u", "p", "::1", 5432),
            ("u:p:w@db.example", "u", "p:w", "db.example", 5432),
            ("u:p w@db.example", "u", "p w", "db.example", 5432),
            ("u:p+w@db.example", "u", "p+w", "db.example", 5432),
            ("u:mật@db.example", "u", "mật", "db.example", 5432),
            ("u:p%40%2F%3F%23%3A%25w@db.example", "u", "p@/?#:%w", "db.example", 5432),
            // No two digits follow: it stands for itself.
            ("u:100%@db.example", "u", "100%", "db.example", 5432),
            ("u:%zz@db.example", "u", "%zz", "db.example", 5432),
        ];
        for (server, user, password, host, port) in cases {
            for prefix in ["postgres", "postgresql"] {
                let url = format!("{prefix}://{server}/x");
                let target = read(&url, |_| None).unwrap_or_else(|error| panic!("{url}: {error:#}"));
                let (modules, own) = (&target.config, Server::read(&url).unwrap());
                assert_eq!(
                    (own.user.as_str(), &own.host, own.port),
                    (user, &Host::tcp(host), port),
                    "{url}"
                );
                assert_eq!(modules.get_user(), Some(user), "{url}");
                assert_eq!(modules.get_password(), Some(password.as_bytes()), "{url}");
                assert_eq!(
                    (modules.get_dbname(), own.database.as_deref()),
                    (Some("x"), Some("x")),
                    "{url}"
                );
                // The driver shows no password: this is what it takes apart.
                let parsed = url::Url::parse(&url).unwrap();
                let encoded = format!("p={}", parsed.password().unwrap().replace('+', "%2B"));
                let pairs: Vec<_> = url::form_urlencoded::parse(encoded.as_bytes()).collect();
                assert_eq!(pairs, [("p".into(), password.into())], "{url}");
            }
        }
        let sockets = [
            "postgres://u@%2Frun%2Fpg/x",
            "postgres:///x?host=/run/pg&user=u",
            "postgres:///x?host=%2Frun%2Fpg",
        ];
        for url in sockets {
            assert_eq!(Server::read(url).unwrap().host, Host::Unix("/run/pg".into()));
            read(url, |_| None).unwrap();
        }
    }

    #[test]
    fn parameters_mean_the_same_to_both() {
        let cases = [
            ("", Some(false), None),
            ("?sslmode=disable", None, None),
            ("?sslmode=require", Some(true), None),
            ("?ssl%6Dode=require", Some(true), None),
            ("?sslmode=disable&sslmode=require", Some(true), None),
            ("?sslmode=require&ssl-mode=disable", None, None),
            ("?sslmode=verify-full", Some(true), None),
            ("?user=w&password=q&sslmode=prefer", Some(false), None),
            ("?options=-c%20a%3Db", Some(false), Some("-c a=b")),
            ("?application_name=a/b@c&connect_timeout=3", Some(false), None),
        ];
        for (parameters, tls, options) in cases {
            let url = format!("postgres://u:p@db.example/x{parameters}");
            let target = read(&url, |_| None).unwrap_or_else(|error| panic!("{url}: {error:#}"));
            assert_eq!(
                (target.tls.demand(), target.config.get_options()),
                (tls, options),
                "{url}"
            );
            assert_eq!(Server::read(&url).unwrap().tls, tls, "{url}");
        }
    }

    #[test]
    fn what_is_read_in_two_ways_is_refused_and_nothing_of_it_is_repeated() {
        let cases = [
            ("postgres://u:secret#w@db.example/x", "write %23"),
            (
                "postgres://u:secret@db.example/x?sslmode=prefer#&sslmode=verify-full",
                "write %23",
            ),
            (
                "postgres://u:secret@db.example/x?connect_timeout=3&sslmode=require#",
                "write %23",
            ),
            (" postgres://u:secret@db.example/x", "a blank"),
            ("postgres://u:secret@db.example/x ", "a blank"),
            (
                "postgres://u:secret@db.example/x?ssl\tmode=disable",
                "a control character",
            ),
            ("postgres://u:sec\nret@db.example/x", "a control character"),
            ("postgres://u:secret@db.example/x?options=-c+a=b", "write %2B"),
            (
                "postgres://u:secret@db.example/x?sslmode=verify-full&sslrootcert=/a+b",
                "write %2B",
            ),
            ("postgres://u:secret@w@db.example/x", "the same host"),
            ("postgres://db.example/x?user=u&password=secret@w", "the same host"),
            ("postgres://u:secret/w@db.example/x", "invalid port"),
            ("postgres://u:123/secret@db.example/x", "the same host"),
            ("postgres://u:secret?w@db.example/x", "invalid port"),
            ("postgres://u:secret@db%2Eexample/x", "the same host"),
            ("postgres://u:secret@dữ.example/x", "the same host"),
            ("postgres://u:secret@one.example,two.example/x", "the same host"),
            ("postgres://u:secret@db.example/x?host=other.example", "the same host"),
            ("postgres://u:secret@db.example/x?hostaddr=10.0.0.1", "the same host"),
            ("postgres:///x?user=u", "the same host"),
            ("postgres://u:secret@db.example/x?port=77", "the same port"),
            ("postgres://u:secret@db.example", "the same database"),
            ("postgres://u:secret@db.example/", "the same database"),
            ("postgres://u:secret@db.example//x", "the same database"),
            ("postgres://u:secret@db.example/a/../x", "the same database"),
            (
                "postgres://u:secret@db.example/x?options=a&options=b",
                "the same options",
            ),
            ("postgres://u:secret@db.example/x?options[a]=b", "read the database URL"),
            ("host=db.example user=u password=secret dbname=x", "without a base"),
            ("mysql://u:secret@db.example/x", "read the database URL"),
        ];
        for (url, expected) in cases {
            let text = refused(url);
            assert!(text.contains(expected), "{url}: {text}");
            assert!(!text.contains("secret"), "{url}: {text}");
        }
    }

    #[test]
    fn a_variable_that_only_one_driver_knows_is_noticed() {
        let server = |change: fn(&mut Server)| {
            let mut server = Server::read("postgres://u@db.example/x").unwrap();
            change(&mut server);
            differing(&read("postgres://u@db.example/x", |_| None).unwrap(), &server)
        };
        assert_eq!(server(|_| {}), None);
        assert_eq!(server(|it| it.port = 77), Some("port"));
        assert_eq!(server(|it| it.database = Some("y".to_owned())), Some("database"));
        assert_eq!(server(|it| it.tls = None), Some("sslmode"));
    }
}
