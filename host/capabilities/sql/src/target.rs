//! Which server sessions are opened at, and how: a database URL as the host's own driver reads it.
//!
//! Of TLS the driver of the modules' sessions knows less than a URL can say, and nothing of files. What would be another thing here than for
//! the host's own sessions, or nothing at all, is an error: nobody should believe to be protected who is not.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslNegotiation};

use crate::tls::{Identity, Tls};

/// A server, and how it is reached.
#[derive(Debug, Clone)]
pub struct Target {
    /// Address, user, database. What it says of TLS is not looked at.
    pub config: Config,
    /// Whether the way there is encrypted.
    pub tls: Tls,
}

/// What is wrong with a database URL.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It is none, or says what nobody understands.
    #[error("read the database URL")]
    Url(#[from] tokio_postgres::Error),
    /// It names another mode than there are.
    #[error("the database URL: sslmode={0} is not supported; use disable, prefer, require or verify-full")]
    Mode(String),
    /// It asks for something that would not be done for all sessions.
    #[error("the database URL: {0}")]
    Unsupported(&'static str),
    /// A file that it names cannot be read.
    #[error("the database URL: {parameter}={path}")]
    File {
        /// Which of its parameters.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Such a file has something else in it.
    #[error("the database URL: {parameter}: {reason}")]
    Pem {
        /// Which of its parameters.
        parameter: &'static str,
        /// What is wrong with the contents.
        reason: String,
    },
    /// The certificates do not go together.
    #[error("the database URL: TLS")]
    Tls(#[from] rustls::Error),
}

/// What a URL says of TLS, under the names the host's own driver knows, and what the environment says where it does not.
#[derive(Debug, Default)]
struct Parameters {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Target {
    /// Reads a URL, and the files that it names. What it does not say of TLS is taken from the variables of the `environment` that other
    /// clients of PostgreSQL know: `PGSSLMODE`, `PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`.
    pub fn read(url: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, UrlError> {
        let (url, mut parameters) = split(url);
        let config: Config = url.parse()?;
        let hosts = config.get_hosts();
        let leaves_the_machine = hosts.iter().any(|host| matches!(host, Host::Tcp(_)));
        if !leaves_the_machine && config.get_hostaddrs().is_empty() {
            return Ok(Self {
                config,
                tls: Tls::default(),
            });
        }
        if config.get_ssl_negotiation() == SslNegotiation::Direct {
            return Err(UrlError::Unsupported("sslnegotiation=direct is not supported"));
        }
        if config.get_channel_binding() == ChannelBinding::Require {
            let text = "channel_binding=require is not supported: the host's own sessions have none. sslmode=verify-full protects as much";
            return Err(UrlError::Unsupported(text));
        }
        for (parameter, variable) in [
            (&mut parameters.mode, "PGSSLMODE"),
            (&mut parameters.root, "PGSSLROOTCERT"),
            (&mut parameters.certificate, "PGSSLCERT"),
            (&mut parameters.key, "PGSSLKEY"),
        ] {
            if parameter.is_none() {
                *parameter = environment(variable);
            }
        }
        Ok(Self {
            config,
            tls: parameters.tls()?,
        })
    }
}

/// The URL without what it says of TLS, and that.
fn split(url: &str) -> (String, Parameters) {
    let mut parameters = Parameters::default();
    let Some((server, query)) = url.split_once('?') else {
        return (url.to_owned(), parameters);
    };
    let rest = query.split('&').filter(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // As the drivers read it: one of them would otherwise see what the other does not.
        let parameter = match &*percent_decode_str(name).decode_utf8_lossy() {
            "sslmode" | "ssl-mode" => &mut parameters.mode,
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => &mut parameters.root,
            "sslcert" | "ssl-cert" => &mut parameters.certificate,
            "sslkey" | "ssl-key" => &mut parameters.key,
            _ => return true,
        };
        *parameter = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
        false
    });
    let rest: Vec<_> = rest.collect();
    let url = match rest.is_empty() {
        true => server.to_owned(),
        false => format!("{server}?{}", rest.join("&")),
    };
    (url, parameters)
}

impl Parameters {
    fn tls(&self) -> Result<Tls, UrlError> {
        let mode = self.mode.as_deref().unwrap_or("prefer").to_ascii_lowercase();
        let (is_demanded, is_verified) = match mode.as_str() {
            "disable" => return Ok(Tls::default()),
            "prefer" => (false, false),
            "require" => (true, false),
            "verify-ca" => {
                let text = "sslmode=verify-ca is not supported: the host's own sessions would take what any public authority signed, for \
                            whatever name. Use sslmode=verify-full, and let the URL name a host that the server's certificate was made for";
                return Err(UrlError::Unsupported(text));
            }
            "verify-full" => (true, true),
            _ => return Err(UrlError::Mode(mode)),
        };
        if !is_verified && self.root.is_some() {
            let text = "sslrootcert is looked at with sslmode=verify-full alone: use that, or leave it out";
            return Err(UrlError::Unsupported(text));
        }
        let trusted = is_verified.then(|| self.roots()).transpose()?;
        Ok(Tls::offered(is_demanded, trusted, self.identity()?)?)
    }

    /// Whom the URL trusts; without a word, those that browsers do.
    fn roots(&self) -> Result<RootCertStore, UrlError> {
        const PARAMETER: &str = "sslrootcert";
        let Some(root) = &self.root else {
            return Ok(RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.into(),
            });
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(PARAMETER, root)? {
            roots.add(certificate)?;
        }
        Ok(roots)
    }

    fn identity(&self) -> Result<Option<Identity>, UrlError> {
        const PARAMETER: &str = "sslkey";
        let (certificate, key) = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(None),
            _ => return Err(UrlError::Unsupported("sslcert and sslkey go together")),
        };
        let key = PrivateKeyDer::from_pem_slice(&contents(PARAMETER, key)?).map_err(|error| UrlError::Pem {
            parameter: PARAMETER,
            reason: error.to_string(),
        })?;
        Ok(Some((certificates("sslcert", certificate)?, key)))
    }
}

fn certificates(parameter: &'static str, value: &str) -> Result<Vec<CertificateDer<'static>>, UrlError> {
    let pem = |reason: String| UrlError::Pem { parameter, reason };
    let contents = contents(parameter, value)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&contents).collect();
    let found = found.map_err(|error| pem(error.to_string()))?;
    match found.is_empty() {
        true => Err(pem("there is no certificate in it".to_owned())),
        false => Ok(found),
    }
}

/// Of the file, unless the contents stand in its place.
fn contents(parameter: &'static str, value: &str) -> Result<Vec<u8>, UrlError> {
    if value.trim_start().starts_with("-----BEGIN") {
        return Ok(value.as_bytes().to_vec());
    }
    std::fs::read(value).map_err(|source| UrlError::File {
        parameter,
        path: value.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Target, String> {
        read_in(url, &[])
    }

    fn read_in(url: &str, environment: &[(&str, &str)]) -> Result<Target, String> {
        let value = |name: &str| {
            let found = environment.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Target::read(url, value).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_of_tls_is_not_left_to_the_driver() {
        let target =
            read("postgres://u:p@db.example:77/x?application_name=a&sslmode=verify-full&connect_timeout=3").unwrap();
        assert_eq!(target.config.get_hosts(), [Host::Tcp("db.example".to_owned())]);
        assert_eq!(target.config.get_application_name(), Some("a"));
        assert_eq!(
            target.config.get_connect_timeout(),
            Some(&std::time::Duration::from_secs(3))
        );
        assert!(format!("{:?}", target.tls).contains("is_demanded: true"), "{target:?}");
        let target = read("postgres://u@db.example/x?ssl-mode=disable").unwrap();
        assert_eq!(format!("{:?}", target.tls), "Tls(None)");
    }

    #[test]
    fn a_socket_of_this_machine_has_no_tls_to_be_asked_for() {
        let environment = [("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", "/nowhere")];
        for url in ["postgres://u@%2Frun/x", "postgres:///x?host=/run&user=u"] {
            assert_eq!(format!("{:?}", read_in(url, &environment).unwrap().tls), "Tls(None)");
        }
    }

    #[test]
    fn the_environment_says_what_the_url_does_not() {
        let url = "postgres://u@db.example/x";
        let of = |url: &str, mode| format!("{:?}", read_in(url, &[("PGSSLMODE", mode)]).unwrap().tls);
        assert_eq!(of(url, "disable"), "Tls(None)");
        assert!(of(url, "require").contains("is_demanded: true"));
        assert!(of(&format!("{url}?sslmode=prefer"), "require").contains("is_demanded: false"));
    }

    #[test]
    fn a_parameter_is_known_however_its_name_is_written() {
        let of = |parameters: &str| {
            format!(
                "{:?}",
                read(&format!("postgres://u@db.example/x?{parameters}")).unwrap().tls
            )
        };
        assert!(of("ssl%6Dode=require").contains("is_demanded: true"));
        // The last one counts, as it does for the host's own driver.
        assert!(of("sslmode=require&ssl%2Dmode=prefer").contains("is_demanded: false"));
    }

    #[test]
    fn what_would_protect_less_than_it_says_is_refused() {
        let refused = |parameters: &str| read(&format!("postgres://u@db.example/x?{parameters}")).unwrap_err();
        let cases = [
            ("sslmode=allow", "sslmode=allow is not supported; use disable, prefer"),
            ("sslmode=full", "sslmode=full is not supported"),
            ("sslmode=verify-ca", "Use sslmode=verify-full"),
            ("sslmode=require&sslrootcert=/ca.pem", "use that, or leave it out"),
            ("sslrootcert=/ca.pem", "use that, or leave it out"),
            (
                "sslmode=verify-full&sslrootcert=/no/such%20file",
                "sslrootcert=/no/such file",
            ),
            ("sslmode=require&sslcert=/c.pem", "sslcert and sslkey go together"),
            (
                "sslmode=require&sslnegotiation=direct",
                "sslnegotiation=direct is not supported",
            ),
            (
                "sslmode=require&channel_binding=require",
                "channel_binding=require is not supported",
            ),
            ("sslmode=verify-full&sslcrl=/crl.pem", "read the database URL"),
            (
                "sslmode=verify-full&sslrootcert=-----BEGIN%20NOTHING-----%0A-----END%20NOTHING-----",
                "sslrootcert: there is no certificate in it",
            ),
        ];
        for (parameters, expected) in cases {
            let text = refused(parameters);
            assert!(text.contains(expected), "{parameters}: {text}");
        }
    }
}
