//! The console over TLS, asked by a real client.

use std::{net::SocketAddr, time::Duration};

use labwire::{console::Limits, people::Role};
use labwire_drivers::Certificate;
use labwire_sims::his::Answering;
use reqwest::{Client, Response, StatusCode, header, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    console::{PASSWORD, Watched, exchange},
    paper::Authority,
};

/// A browser that trusts one certificate, or its authority.
fn browser(trusted: CertificateDer<'static>) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).expect("a certificate");
    let provider = std::sync::Arc::new(ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .redirect(redirect::Policy::none())
        .tls_backend_preconfigured(tls)
        .build()
        .expect("a client")
}

fn cookies(answer: &Response) -> Vec<String> {
    let all = answer.headers().get_all(header::SET_COOKIE);
    all.iter()
        .map(|cookie| cookie.to_str().expect("ASCII").to_owned())
        .collect()
}

/// `name=value` of the cookies that an answer sets, for the next request.
fn kept(answer: &Response) -> String {
    let of = |cookie: &String| cookie.split(';').next().unwrap_or_default().to_owned();
    cookies(answer)
        .iter()
        .map(of)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Where a console that listens everywhere is reached in a test.
fn reached(watched: &Watched) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], watched.address().port()))
}

/// Logs in and gives the cookie of the session.
async fn log_in(client: &Client, at: SocketAddr, role: Role) -> String {
    let login = format!("https://{at}/login");
    let shown = client.get(&login).send().await.expect("an answer");
    assert_eq!(shown.status(), StatusCode::OK);
    let before = kept(&shown);
    let page = shown.text().await.expect("a page");
    let (_, form) = page.split_once("name=\"form\" value=\"").expect("a token");
    let form = form.split('"').next().unwrap_or_default();
    let fields = format!(
        "form={form}&login={}&password={}",
        role.code(),
        PASSWORD.replace(' ', "+")
    );
    let answer = client
        .post(&login)
        .header(header::COOKIE, before)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ORIGIN, format!("https://{at}"))
        .body(fields)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    for cookie in cookies(&answer) {
        assert!(cookie.ends_with("; Secure"), "{cookie}");
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    }
    kept(&answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_that_others_reach_makes_a_certificate_and_speaks_tls_alone() {
    let watched = Watched::open_at(Answering::good(), Limits::default(), "0.0.0.0:0", "").await;
    let at = reached(&watched);
    let folder = watched.folder();
    let certificate = folder.join("labwire-console.pem");
    let der = CertificateDer::from_pem_file(&certificate).expect("it was made");
    let shown = Certificate::read(&der).expect("a certificate");
    let fingerprint = watched.console.fingerprint().expect("TLS").to_owned();
    assert_eq!(shown.fingerprint, fingerprint);
    assert!(labwire_drivers::tls::is_private(
        &folder.join("labwire-console.key")
    ));
    assert!(
        watched.console.url().starts_with("https://"),
        "{}",
        watched.console.url()
    );

    let plain = exchange(at, b"GET /login HTTP/1.1\r\nHost: lab\r\n\r\n").await;
    assert_eq!(plain.status, 400);
    assert!(plain.body.contains("https://"), "{}", plain.body);
    assert_eq!(plain.header("set-cookie"), "");

    // Three years less ten days on: it is told, and still works for whoever trusts it.
    watched.clock.minutes((3 * 365 - 10) * 24 * 60);
    let client = browser(der);
    let session = log_in(&client, at, Role::ALL[0]).await;
    let settings = client
        .get(format!("https://{at}/settings"))
        .header(header::COOKIE, &session)
        .send()
        .await
        .expect("an answer");
    let headers = settings.headers();
    assert!(headers.get(header::STRICT_TRANSPORT_SECURITY).is_none());
    let page = settings.text().await.expect("a page");
    assert!(page.contains(&fingerprint), "{page}");
    assert!(page.contains("còn 9 ngày"), "{page}");

    let metrics = client.get(format!("https://{at}/metrics"));
    let metrics = metrics
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    let ends = shown.not_after_utc_micros / 1_000_000;
    let line =
        format!("labwire_certificate_expires_timestamp_seconds{{owner=\"console\"}} {ends}\n");
    assert!(metrics.contains(&line), "{metrics}");
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_given_certificate_is_shown_strictly_and_replaced_while_the_console_runs() {
    let (first, second) = (Authority::new(), Authority::new());
    let own = first.issue("console", "127.0.0.1");
    let more = format!(
        "\n[console]\ncertificate = {:?}\nkey = {:?}\n",
        own.certificate, own.key
    );
    let watched =
        Watched::open_at(Answering::good(), Limits::default(), "127.0.0.1:0", &more).await;
    let at = watched.address();
    let of = |authority: &Authority| {
        browser(CertificateDer::from_pem_file(authority.file()).expect("an authority"))
    };
    let login = format!("https://{at}/login");
    let answer = of(&first).get(&login).send().await.expect("an answer");
    let strict = answer.headers().get(header::STRICT_TRANSPORT_SECURITY);
    assert_eq!(strict.expect("strict"), "max-age=31536000");
    assert!(of(&second).get(&login).send().await.is_err());

    own.replace_by(&second.issue("console", "127.0.0.1"));
    watched.bridge.certificates.look();
    assert!(of(&first).get(&login).send().await.is_err());
    let answer = of(&second).get(&login).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);

    // A bad one leaves what is there.
    std::fs::write(&own.key, "nothing").expect("writable");
    watched.bridge.certificates.look();
    let answer = of(&second).get(&login).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let concerns = watched.bridge.certificates.concerns();
    assert_eq!(concerns.len(), 1, "{concerns:?}");
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_nothing_to_the_console_is_let_go_and_keeps_nobody_out() {
    // Long enough for a handshake on a machine that others use.
    let limits = Limits {
        head_within: Duration::from_secs(4),
        ..Limits::default()
    };
    let watched = Watched::open_at(Answering::good(), limits, "0.0.0.0:0", "").await;
    let at = reached(&watched);
    let mut silent = tokio::net::TcpStream::connect(at)
        .await
        .expect("it listens");
    let mut half = tokio::net::TcpStream::connect(at)
        .await
        .expect("it listens");
    tokio::io::AsyncWriteExt::write_all(&mut half, &[22, 3, 1])
        .await
        .expect("open");
    let der = CertificateDer::from_pem_file(watched.folder().join("labwire-console.pem"));
    let client = browser(der.expect("it was made"));
    let answer = client
        .get(format!("https://{at}/login"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    for stream in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        let ending = tokio::io::AsyncReadExt::read_to_end(stream, &mut rest);
        let ended = tokio::time::timeout(Duration::from_secs(60), ending).await;
        assert!(ended.is_ok(), "it is still open");
    }
    watched.stop().await;
}
