//! Everything that crosses a network, over TLS: devices both ways, a HIS over MLLP and over HTTP, and
//! the database.
//!
//! The simulators speak without TLS; a tunnel of the test stands before each, and shows or asks for
//! certificates as a device or a HIS would.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc};

use labwire::store::{Store, StoreOptions};
use labwire_drivers::{Certificate, LineHandle, SystemClock};
use labwire_sims::{
    analyzer::{Operator, Tube},
    his::{Answering, Expected},
    port::Port,
};
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::Cluster,
    hospital::{Bridge, His, Site, tests},
    http_host,
    paper::{Authority, Issued},
    wire_to_his::{astm, expected},
};

/// A port without TLS that leads to `to` with it.
async fn wrap(to: SocketAddr, client: Arc<ClientConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let client = Arc::clone(&client);
            tokio::spawn(async move {
                let stream = TcpStream::connect(to).await?;
                let name = ServerName::from(to.ip());
                let mut secured = TlsConnector::from(client).connect(name, stream).await?;
                copy_bidirectional(&mut plain, &mut secured).await
            });
        }
    });
    address
}

/// A port with TLS that leads to `to` without it.
async fn unwrap(to: SocketAddr, server: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let mut secured = TlsAcceptor::from(server).accept(stream).await?;
                let mut plain = TcpStream::connect(to).await?;
                copy_bidirectional(&mut plain, &mut secured).await
            });
        }
    });
    address
}

/// A device that waits to be dialled, behind TLS with `own`.
async fn dialled(
    authority: &Authority,
    own: &Issued,
    cancel: &CancellationToken,
) -> (Operator, SocketAddr) {
    let port = Port::listen("127.0.0.1:0").await.expect("a free port");
    let plain = port.local_address().expect("bound");
    let device = astm("sysmex-xn", port, cancel);
    (device, unwrap(plain, authority.server(own, true)).await)
}

fn files(own: &Issued, authority: &Authority) -> String {
    format!(
        "certificate = {:?}\nkey = {:?}\nca = {:?}\n",
        own.certificate,
        own.key,
        authority.file()
    )
}

/// What was measured of a tube and must arrive at the HIS.
async fn measured(bridge: &Bridge, device: &Operator, barcode: &str) -> Vec<Expected> {
    device.load(Tube::patient(barcode));
    bridge
        .until("the tube is measured and acknowledged", || device.is_idle())
        .await;
    let all = expected(&device.log(), barcode, &["WBC", "HGB"]);
    assert!(all.len() >= 2, "{all:?}");
    all[all.len() - 2..].to_vec()
}

async fn arrive(bridge: &Bridge, his: &His, wanted: &[Expected]) {
    let found = || {
        his.book
            .verify(wanted)
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    bridge.until_empty("at the HIS", found).await;
}

/// The certificates that a line shows to whoever asks, by fingerprint.
async fn shown(at: SocketAddr, client: Arc<ClientConfig>) -> String {
    let stream = TcpStream::connect(at).await.expect("it listens");
    let name = ServerName::from(at.ip());
    let secured = TlsConnector::from(client)
        .connect(name, stream)
        .await
        .expect("TLS");
    let (_, session) = secured.get_ref();
    let chain = session.peer_certificates().expect("a certificate");
    Certificate::read(&chain[0])
        .expect("a certificate")
        .fingerprint
}

fn problem(line: &LineHandle) -> String {
    let problem = line.status().last_problem;
    problem
        .map(|problem| problem.code.to_owned())
        .unwrap_or_default()
}

/// A HIS at `results` and two analyzers, one of which is at `dialled`; every port asks for a certificate.
fn site(authority: &Authority, own: &Issued, results: SocketAddr, dialled: SocketAddr) -> Site {
    let (keys, xn) = (files(own, authority), tests("sysmex/xn"));
    let client_ca = format!("client_ca = {:?}\n", authority.file());
    let listening = keys.lines().filter(|line| !line.starts_with("ca "));
    let listening = listening.collect::<Vec<_>>().join("\n");
    Site::new(&format!(
        "[[host]]\nid = \"his\"\norders = \"mllps-listen://127.0.0.1:0\"\n\
         results = \"mllps://{results}\"\n{keys}{client_ca}\n\
         [[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\n\
         port = \"tls-listen://127.0.0.1:0\"\n{listening}\n{client_ca}\
         allow = [\"127.0.0.0/8\", \"::1\"]\n{xn}\n\n\
         [[instrument]]\nid = \"xn-2\"\nprofile = \"sysmex/xn\"\n\
         port = \"tls://{dialled}\"\n{keys}{xn}\n"
    ))
}

/// Who shows nothing is not let in, and is seen.
async fn stays_out(bridge: &Bridge, at: SocketAddr, nobody: Arc<ClientConfig>) {
    let stranger = TcpStream::connect(at).await.expect("it listens");
    let connector = TlsConnector::from(nobody);
    let shaken = connector.connect(ServerName::from(at.ip()), stranger).await;
    if let Ok(mut shaken) = shaken {
        let mut rest = Vec::new();
        assert!(
            shaken.read_to_end(&mut rest).await.is_err(),
            "it was let in"
        );
    }
    let line = &bridge.lines["xn-1"];
    bridge
        .until("the stranger is noted", || problem(line) == "DRV-0523")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_arrive_over_tls_both_ways_and_go_on_when_the_certificate_is_replaced() {
    let authority = Authority::new();
    let own = authority.issue("labwire", "127.0.0.1");
    let theirs = authority.issue("theirs", "127.0.0.1");
    let cancel = CancellationToken::new();
    let mut his = His::open(Answering::good()).await;
    let plain: SocketAddr = his
        .results
        .trim_start_matches("mllp://")
        .parse()
        .expect("an address");
    let results = unwrap(plain, authority.server(&theirs, true)).await;
    let (second, dialled) = dialled(&authority, &theirs, &cancel).await;
    let site = site(&authority, &own, results, dialled);
    let bridge = site.start().await;
    let known = authority.client(Some(&theirs));
    let orders = bridge.address("host:his").await.expect("it listens");
    his.place(wrap(orders, Arc::clone(&known)).await);
    let at = bridge.address("xn-1").await.expect("it listens");
    let port = wrap(at, Arc::clone(&known)).await;
    let first = astm("sysmex-xn", Port::Connect(port.to_string()), &cancel);
    for barcode in ["26031000001", "26031000002", "26031000003"] {
        his.order(barcode, &["WBC", "HGB"]);
    }
    bridge
        .until("every order is answered", || his.orders.waiting() == 0)
        .await;
    let mut wanted = measured(&bridge, &first, "26031000001").await;
    wanted.extend(measured(&bridge, &second, "26031000002").await);
    arrive(&bridge, &his, &wanted).await;

    stays_out(&bridge, at, authority.client(None)).await;
    let before = shown(at, Arc::clone(&known)).await;
    own.replace_by(&authority.issue("next", "127.0.0.1"));
    bridge.certificates.look();
    let after = shown(at, known).await;
    assert_ne!(before, after);
    let of_all = bridge.certificates.list();
    let fingerprints: BTreeSet<_> = of_all
        .iter()
        .map(|one| {
            one.certificate
                .as_ref()
                .expect("each has one")
                .fingerprint
                .clone()
        })
        .collect();
    assert_eq!(fingerprints, BTreeSet::from([after]), "of four ports");
    assert_eq!(of_all.len(), 4);
    wanted.extend(measured(&bridge, &second, "26031000003").await);
    arrive(&bridge, &his, &wanted).await;
    cancel.cancel();
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_go_to_an_https_host_that_is_known_and_to_no_other() {
    let (authority, other) = (Authority::new(), Authority::new());
    let theirs = authority.issue("his", "127.0.0.1");
    let (hospital, plain) = http_host::open().await;
    let at = unwrap(plain, authority.server(&theirs, false)).await;
    let ca = authority
        .issue("copy", "127.0.0.1")
        .certificate
        .with_file_name("trusted.pem");
    // First the wrong authority stands in the file.
    std::fs::copy(other.file(), &ca).expect("writable");
    let site = Site::new(&format!(
        "[[host]]\nid = \"his\"\nkind = \"http\"\norders = \"https://{at}/orders\"\n\
         results = \"https://{at}/results\"\npoll_s = 1\nca = {ca:?}\n\n\
         [[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\n\
         port = \"tcp-listen://127.0.0.1:0\"\n{}\n",
        tests("sysmex/xn")
    ));
    let bridge = site.start().await;
    let client = {
        let tls = bridge.certificates.list();
        assert_eq!(tls.len(), 1);
        let tls = labwire_drivers::Tls::new(
            "test",
            tls[0].files.clone(),
            labwire_drivers::TlsSide::Client,
            Arc::new(SystemClock::new()),
        );
        tls.client().expect("an authority")
    };
    let patience = std::time::Duration::from_secs(30);
    let client = labwire::host::http::client(patience, Some(&client)).expect("a client");
    let error = labwire::host::http::pull_orders(&client, &format!("https://{at}/orders"), "")
        .await
        .expect_err("another authority");
    assert!(error.to_string().contains("DRV-0524"), "{error}");
    assert!(hospital.answers().is_empty());

    std::fs::copy(authority.file(), &ca).expect("writable");
    bridge.certificates.look();
    bridge
        .until("the orders are fetched and answered", || {
            !hospital.answers().is_empty()
        })
        .await;
    let cancel = CancellationToken::new();
    let port = bridge
        .address("xn-1")
        .await
        .expect("it listens")
        .to_string();
    let device = astm("sysmex-xn", Port::Connect(port), &cancel);
    device.load(Tube::patient("26031000009"));
    bridge
        .until("the tube is measured and acknowledged", || device.is_idle())
        .await;
    bridge
        .until("the result is posted", || !hospital.results().is_empty())
        .await;
    cancel.cancel();
    bridge.stop().await;
}

/// The server of a database as its clients see it over a network: TLS first, if they ask for it.
async fn database(socket: PathBuf, server: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (server, socket) = (Arc::clone(&server), socket.clone());
            tokio::spawn(async move {
                let mut request = [0; 8];
                stream.read_exact(&mut request).await?;
                // SSLRequest: PostgreSQL, "Message Formats".
                assert_eq!(
                    request,
                    [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F],
                    "no TLS asked for"
                );
                stream.write_all(b"S").await?;
                let mut secured = TlsAcceptor::from(server).accept(stream).await?;
                let mut plain = UnixStream::connect(socket).await?;
                copy_bidirectional(&mut plain, &mut secured).await
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_reached_over_tls_with_its_authority_and_with_no_other() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let (authority, other) = (Authority::new(), Authority::new());
    let theirs = authority.issue("db", "127.0.0.1");
    let url = cluster.new_schema();
    let (user, rest) = url
        .split_once("@localhost/postgres?host=")
        .expect("a socket");
    let (folder, schema) = rest.split_once('&').expect("a schema");
    let socket = PathBuf::from(folder).join(".s.PGSQL.5432");
    let at = database(socket, authority.server(&theirs, false)).await;
    let of = |trusted: &Authority| {
        let root = trusted.file();
        format!(
            "{user}@{at}/postgres?sslmode=verify-full&sslrootcert={}&{schema}",
            root.display()
        )
    };
    let (clock, elsewhere) = (Arc::new(SystemClock::new()), of(&other));
    let refused = Store::open(&elsewhere, StoreOptions::default(), clock).await;
    let error = refused.expect_err("another authority");
    assert_eq!(error.code(), "STORE-0010", "{error} {error:?}");

    let mut his = His::open(Answering::good()).await;
    let site = Site::on(
        &of(&authority),
        &format!(
            "[[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:0\"\nresults = \"{}\"\n\n\
             [[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\n\
             port = \"tcp-listen://127.0.0.1:0\"\n{}\n",
            his.results,
            tests("sysmex/xn")
        ),
    );
    let bridge = site.start().await;
    his.place(bridge.address("host:his").await.expect("it listens"));
    his.order("26031000001", &["WBC", "HGB"]);
    let port = bridge
        .address("xn-1")
        .await
        .expect("it listens")
        .to_string();
    let cancel = CancellationToken::new();
    let device = astm("sysmex-xn", Port::Connect(port), &cancel);
    bridge
        .until("the order is answered", || his.orders.waiting() == 0)
        .await;
    let wanted = measured(&bridge, &device, "26031000001").await;
    arrive(&bridge, &his, &wanted).await;
    cancel.cancel();
    bridge.stop().await;
}
