//! Sessions over TLS, against a server that has it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use host_bindings::nexus::sql::sql::Value;
use host_postgres::test_support::{Certificates, TestDatabase, TestServer};
use host_postgres::{Programs, Settings};
use host_sql::{ModuleConnection, Options, Target};
use host_types::Fault;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_postgres::config::ChannelBinding;

use crate::support::{Database, connection};

/// Who comes over TCP comes with TLS.
const ENCRYPTED: &str = "hostssl all all 127.0.0.0/8 scram-sha-256";

/// As files hold it: in lines of 64 letters.
fn pem(label: &str, bytes: &[u8]) -> String {
    let lines: Vec<_> = bytes.chunks(48).map(|line| STANDARD.encode(line)).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Signs certificates.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        let issuer = Issuer::new(parameters, key);
        Self { certificate, issuer }
    }

    /// A certificate for this name, and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        (
            pem("CERTIFICATE", certificate.der()),
            pem("PRIVATE KEY", &key.serialize_der()),
        )
    }

    fn pem(&self) -> String {
        pem("CERTIFICATE", self.certificate.der())
    }

    /// As a file in this folder.
    fn file(&self, folder: &tempfile::TempDir, name: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, self.pem()).unwrap();
        path
    }
}

/// A server with a certificate for its address, and a database on it.
struct Encrypted {
    database: TestDatabase,
    server: TestServer,
    address: String,
    folder: tempfile::TempDir,
    trusted: Authority,
}

impl Encrypted {
    async fn start() -> Self {
        let trusted = Authority::new("ours");
        let programs = Programs::find().await.unwrap();
        let mut server = TestServer::start(&programs, Settings::test()).await.unwrap();
        let address = TestServer::own_address().unwrap();
        let (certificate, key) = trusted.issue(&address.to_string());
        let certificates = Certificates {
            certificate,
            key,
            authority: trusted.pem(),
        };
        server.listen(address, &certificates, ENCRYPTED).await.unwrap();
        Self {
            database: TestDatabase::create(&server.url(), "tls").await.unwrap(),
            server,
            address: address.to_string(),
            folder: tempfile::tempdir().unwrap(),
            trusted,
        }
    }

    /// How a module comes by a URL with these parameters.
    fn by(&self, parameters: &str) -> ModuleConnection {
        self.at(&self.address, parameters)
    }

    fn at(&self, host: &str, parameters: &str) -> ModuleConnection {
        connection(Target::read(&self.server.tcp_url(host, self.database.name(), parameters), |_| None).unwrap())
    }
}

/// Sessions that may come and go: each is opened anew. What comes in a flood takes its time on a busy machine.
fn options() -> Options {
    Options {
        transaction_limit: Duration::from_secs(4),
        ..Options::default()
    }
}

const IS_ENCRYPTED: &str = "SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_encrypted_as_the_url_says() {
    let server = Encrypted::start().await;
    let database = Database::on(server.database.url(), options()).await;
    let root = server.trusted.file(&server.folder, "root.crt");
    let verified = format!("sslmode=verify-full&sslrootcert={}", root.display());
    for parameters in [
        "sslmode=require",
        // Nothing said: what the server has is used.
        "",
        &verified,
    ] {
        let mut module = server.by(parameters);
        // A login that somebody in between has passed on does not get in.
        module.target.config.channel_binding(ChannelBinding::Require);
        let mut guest = database.guest_of(&database.pools.module(module));
        let rows = guest.query(IS_ENCRYPTED, &[]).await.unwrap().unwrap().rows;
        assert!(matches!(rows[0][..], [Value::Boolean(true)]), "{parameters}: {rows:?}");
    }

    // What is looked at within the messages is seen through the encryption, and a statement is cancelled through it.
    let pool = database.pools.module(server.by(&verified));
    let long = "SELECT repeat('x', 30000000)";
    let flooded = database.guest_of(&pool).query(long, &[]).await.unwrap_err();
    assert!(format!("{flooded:?}").contains("bytes"), "{flooded:?}");
    let mut slow = database.guest_of(&pool);
    let tx = slow.begin().await;
    let ended = slow.run(&tx, "SELECT pg_sleep(600)", &[]).await.unwrap_err();
    assert!(matches!(ended, Fault::Transient(_)), "{ended:?}");
    let gone = tokio::time::timeout(Duration::from_secs(10), async {
        while database
            .count("pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'")
            .await
            > 0
        {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("the server still sleeps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_as_the_url_says_is_none() {
    let server = Encrypted::start().await;
    let database = Database::on(server.database.url(), options()).await;
    let refused = async |module: ModuleConnection| {
        let error = database.pools.module(module).probe().await.unwrap_err();
        assert!(!error.is_passing(), "{error}");
        error.to_string()
    };
    let stranger = Authority::new("theirs").file(&server.folder, "stranger.crt");
    let named = |root: &Path| format!("sslmode=verify-full&sslrootcert={}", root.display());
    let text = refused(server.by(&named(&stranger))).await;
    assert!(
        text.contains("UnknownIssuer") && text.contains("name yours with sslrootcert"),
        "{text}"
    );
    // Nobody who is trusted by all has signed it either.
    let text = refused(server.by("sslmode=verify-full")).await;
    assert!(text.contains("UnknownIssuer"), "{text}");
    let text = refused(server.by("sslmode=disable")).await;
    assert!(text.contains("no encryption"), "{text}");

    // The same server under a name that its certificate does not have.
    let root = server.trusted.file(&server.folder, "root.crt");
    let (certificate, key) = server.trusted.issue("db.example");
    let certificates = Certificates {
        certificate,
        key,
        authority: server.trusted.pem(),
    };
    let mut server = server;
    let address = server.address.parse().unwrap();
    let by_certificate = format!("{ENCRYPTED} clientcert=verify-ca");
    server
        .server
        .listen(address, &certificates, &by_certificate)
        .await
        .unwrap();
    let text = refused(server.by(&named(&root))).await;
    assert!(text.contains("it was made for another host"), "{text}");

    // This server lets in who has a certificate.
    let text = refused(server.by("sslmode=require")).await;
    assert!(text.contains("certificate"), "{text}");
    let (certificate, key) = server.trusted.issue("client");
    let files = [("client.crt", certificate), ("client.key", key)].map(|(name, contents)| {
        let path = server.folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.display().to_string()
    });
    let [certificate, key] = files;
    let admitted = server.by(&format!("sslmode=require&sslcert={certificate}&sslkey={key}"));
    database.pools.module(admitted).probe().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_at_the_server_sessions_are_in_clear_or_none() {
    // All that such a server says to the question.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut first = Vec::new();
        for _ in 0..2 {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            client.read_exact(&mut request).await.unwrap();
            client.write_all(b"N").await.unwrap();
            first.push(client.read_u32().await.is_ok());
        }
        first
    });
    let pools = host_sql::Pools::new(Options::default());
    for mode in ["require", "prefer"] {
        let url = format!("postgres://u:p@127.0.0.1:{port}/x?sslmode={mode}");
        let module = connection(Target::read(&url, |_| None).unwrap());
        let error = pools.module(module).probe().await.unwrap_err();
        assert_eq!(error.to_string().contains("has no TLS"), mode == "require", "{error}");
    }
    assert_eq!(
        server.await.unwrap(),
        [false, true],
        "who demands TLS says nothing in clear"
    );
}

#[tokio::test]
async fn a_connection_that_broke_may_hold_the_next_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://u:p@127.0.0.1:{port}/x?sslmode=require");
    let pools = host_sql::Pools::new(Options::default());
    let pool = pools.module(connection(Target::read(&url, |_| None).unwrap()));
    // All that is said to the question for TLS, and whether asking again may help.
    let answers: [(&[u8], bool); 6] = [
        (b"", true),
        (b"S", true),
        (b"E", true),
        (b"N", false),
        (b"?", false),
        (b"SHTTP/1.1 400 Bad Request\r\n", false),
    ];
    for (answer, is_passing) in answers {
        let serving = async {
            let (mut client, _) = listener.accept().await.unwrap();
            client.read_exact(&mut [0; 8]).await.unwrap();
            client.write_all(answer).await.unwrap();
            client.shutdown().await.unwrap();
            // What comes still is read: a reset would take the answer back.
            let _ = client.read_to_end(&mut Vec::new()).await;
        };
        let ((), probed) = tokio::join!(serving, pool.probe());
        let error = probed.unwrap_err();
        assert_eq!(error.is_passing(), is_passing, "{}: {error}", answer.escape_ascii());
    }
}
