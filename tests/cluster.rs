//! A PostgreSQL cluster for tests: made in a folder of its own, reached by a socket in that folder,
//! gone with the process that asked for it. Shared by the tests of the crate, of the command line and of
//! the whole.
//!
//! Where PostgreSQL is not installed a test says so and passes; with `LABWIRE_POSTGRES=required`, as
//! in CI, it fails.

use std::{
    ffi::OsString,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// The superuser of the cluster; everyone who reaches the socket is let in.
const USER: &str = "labwire";

/// Starts the server and stops and starts it on the word of its standard input. That ends with the
/// process that started it, however that ends; then the server is stopped and the folder removed.
/// `$0` is the folder, the rest starts the server.
const KEEPER: &str = r#"
serve() { "$@" >>"$dir/log" 2>&1 </dev/null & pid=$!; }
dir=$0
serve "$@"
while read -r word; do
    case $word in
        stop) kill -QUIT "$pid"; wait "$pid" ;;
        start) serve "$@" ;;
    esac
    echo done
done
kill -QUIT "$pid"
wait "$pid"
rm -rf "$dir"
"#;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    /// A shell that starts and stops the server.
    keeper: Mutex<Child>,
}

impl Cluster {
    /// The one that all tests of this process share, each in a schema of its own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Starts one; `None`, and a word about it, where it cannot be had.
    pub fn start() -> Option<Self> {
        Self::start_by(&[])
    }

    /// Starts one whose server is begun by a program with these arguments, which becomes the server.
    pub fn start_by(around: &[OsString]) -> Option<Self> {
        let started = Self::try_start(around);
        if let Err(why) = &started {
            let must = std::env::var("LABWIRE_POSTGRES").is_ok_and(|value| value == "required");
            assert!(!must, "PostgreSQL could not be started: {why}");
            let left_out = format!("left out: what PostgreSQL does under the store ({why})\n");
            // Past the test's captured output, because a test that passes shows none.
            drop(std::io::stderr().write_all(left_out.as_bytes()));
        }
        started.ok()
    }

    fn try_start(around: &[OsString]) -> Result<Self, String> {
        let programs = programs().ok_or("it is not installed")?;
        let folder = tempfile::Builder::new()
            .prefix("labwire-pg-")
            .tempdir()
            .map_err(|error| error.to_string())?
            .keep();
        let data = folder.join("data");
        let user = other_user(&folder)?;
        let initdb = command(&user, &programs.join("initdb"))
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
            .arg(format!("--username={USER}"))
            .arg("-D")
            .arg(&data)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if !initdb.status.success() {
            return Err(format!("initdb: {}", initdb.stderr.escape_ascii()));
        }
        let postgres = command(&user, &programs.join("postgres"));
        let keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .arg(&folder)
            .args(around)
            .arg(postgres.get_program())
            .args(postgres.get_args())
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder)
            .args(["-c", "listen_addresses=", "-c", "max_connections=200"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let cluster = Self {
            folder,
            keeper: Mutex::new(keeper),
        };
        cluster.wait()?;
        Ok(cluster)
    }

    /// The address of the database, and of the schema in it, if one is named.
    pub fn url(&self, schema: Option<&str>) -> String {
        let path = schema.map_or_else(String::new, |schema| {
            format!("&options[search_path]={schema}")
        });
        let folder = self.folder.display();
        format!("postgres://{USER}@localhost/postgres?host={folder}{path}")
    }

    /// The address of a new and empty schema.
    pub fn new_schema(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let schema = format!("lab{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("CREATE SCHEMA {schema}"));
        self.url(Some(&schema))
    }

    /// Runs statements as the superuser.
    pub fn run(&self, text: &str) {
        run(&self.url(None), text).expect("the statements of the test run");
    }

    /// Stops the server as a power cut would: no connection is told, nothing is written down.
    pub fn stop(&self) {
        self.tell("stop");
    }

    /// Starts a server that was stopped.
    pub fn resume(&self) {
        self.tell("start");
        self.wait().expect("it starts again");
    }

    fn tell(&self, word: &str) {
        let mut keeper = self.keeper.lock().expect("no test panicked here");
        let input = keeper.stdin.as_mut().expect("it was asked for");
        writeln!(input, "{word}").expect("the keeper lives");
        let output = keeper.stdout.as_mut().expect("it was asked for");
        let mut done = [0; 5];
        output.read_exact(&mut done).expect("the keeper answers");
    }

    fn wait(&self) -> Result<(), String> {
        let url = self.url(None);
        let (_never, soon) = mpsc::channel::<()>();
        for _ in 0..300 {
            if run(&url, "SELECT 1").is_ok() {
                return Ok(());
            }
            let _is_never = soon.recv_timeout(Duration::from_millis(50)).is_ok();
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("it does not answer: {log}"))
    }
}

fn run(url: &str, text: &str) -> Result<(), sqlx::Error> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut connection = PgConnection::connect(url).await?;
            let statements = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
            connection.execute(statements).await?;
            connection.close().await
        })
    };
    // A task may not wait for a runtime; its thread may wait for another thread.
    std::thread::scope(|scope| scope.spawn(work).join()).expect("no panic")
}

/// Where the programs of the newest version are: Debian keeps them apart, others in the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .max_by_key(|path| number(path));
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest
        .map(|version| version.join("bin"))
        .into_iter()
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// A user's number and that of its group.
type User = (u32, u32);

#[cfg(not(unix))]
fn other_user(_: &Path) -> Result<Option<User>, String> {
    Ok(None)
}

/// Whom the folder is given to where the tests run as root, whom PostgreSQL does not serve.
#[cfg(unix)]
fn other_user(folder: &Path) -> Result<Option<User>, String> {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let failed = |error: std::io::Error| error.to_string();
    if std::fs::metadata(folder).map_err(failed)?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(failed)?;
    let numbers = |name: &str| {
        let line = users.lines().find_map(|line| line.strip_prefix(name))?;
        let mut fields = line.strip_prefix(":")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let user: User = ["postgres", "nobody"]
        .into_iter()
        .find_map(numbers)
        .ok_or("there is no user beside root that it can run as")?;
    chown(folder, Some(user.0), Some(user.1)).map_err(failed)?;
    Ok(Some(user))
}

fn command(user: &Option<User>, program: &Path) -> Command {
    let Some((user, group)) = user else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={group}"))
        .arg("--clear-groups")
        .arg(program);
    command
}
