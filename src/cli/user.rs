//! `labwire user`: who may use the console.

use clap::{Args, Subcommand, ValueEnum};
use labwire_drivers::{Clock as _, SystemClock};

use super::{Verdict, failure::Failure, out::Out, queue::actor, site::SiteArgs};
use crate::{
    people::{self, Digest, NewPerson, Person, Role, is_login, one_time},
    store::Beside,
};

/// See and change who may use the web console
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire user list
  labwire user add lan --name \"Nguyễn Thị Lan\" --role technician
  labwire user reset lan                       a new password, also for somebody disabled
  labwire user disable lan

A new password is shown once; it has to be changed at the first login. Works while the bridge runs.")]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add somebody, and show the password to give to them
    Add(AddArgs),
    /// List everybody
    List(ListArgs),
    /// Let somebody log in no more, and end their sessions
    Disable(KnownArgs),
    /// Give somebody a new password, and end their sessions
    Reset(KnownArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  labwire user add lan --name \"Nguyễn Thị Lan\" --role technician")]
struct AddArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The name as people say it; the login name if not given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What they may do
    #[arg(long, value_enum)]
    role: RoleName,
}

/// Somebody who is there, for a command of its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire user disable lan
  labwire user reset lan")]
struct KnownArgs {
    #[command(flatten)]
    one: OneArgs,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// The name to log in with: a–z, 0–9, `-`, `_` and dot
    #[arg(value_parser = login)]
    login: String,
    /// Your name, for the audit; otherwise that of your login
    #[arg(long = "as", value_name = "NAME")]
    actor: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  labwire user list -c /etc/labwire/lab.toml")]
struct ListArgs {
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Sees everything, changes nothing
    Viewer,
    /// Tries messages again, gives them up with a reason
    Technician,
    /// Releases results
    Verifier,
    /// Manages people
    Administrator,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Technician => Self::Technician,
            RoleName::Verifier => Self::Verifier,
            RoleName::Administrator => Self::Administrator,
        }
    }
}

fn login(text: &str) -> Result<String, String> {
    if is_login(text) {
        Ok(text.to_owned())
    } else {
        Err("2 to 40 of a-z, 0-9, `-`, `_` and dot".to_owned())
    }
}

pub(crate) fn run(args: &UserArgs, out: &mut Out) -> Result<Verdict, Failure> {
    match &args.what {
        What::Add(args) => add(args, out),
        What::List(args) => list(args, out),
        What::Disable(args) => disable(&args.one, out),
        What::Reset(args) => reset(&args.one, out),
    }
}

fn random(error: getrandom::Error) -> Failure {
    Failure::Usage(format!("the system gives no random bytes: {error}"))
}

fn now() -> i64 {
    SystemClock::default().utc_micros()
}

fn add(args: &AddArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let actor = actor(args.one.actor.as_deref())?;
    let password = one_time().map_err(random)?;
    let person = NewPerson {
        login: args.one.login.clone(),
        name: args.name.clone().unwrap_or_else(|| args.one.login.clone()),
        role: args.role.into(),
        password: Digest::of(&password).map_err(random)?,
        must_change: true,
    };
    let mut store = Beside::writer(&args.one.site.read()?.url)?;
    let added = store.transact(|db| people::add(db, &person, &actor, now()))?;
    if added.is_err() {
        return Err(Failure::Usage(format!(
            "there is somebody called {}: labwire user reset gives a new password",
            person.login
        )));
    }
    tell(out, &person.login, &password)
}

fn tell(out: &mut Out, login: &str, password: &str) -> Result<Verdict, Failure> {
    out.line(format_args!("{login} may log in with {password}"))?;
    out.line("It is shown this once, and has to be changed at the first login.")?;
    Ok(Verdict::Clean)
}

fn list(args: &ListArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let mut store = args.site.read()?.reader()?;
    for person in store.read(people::list)? {
        let state = if person.is_disabled {
            "disabled"
        } else if person.must_change {
            "has to change the password"
        } else {
            "active"
        };
        out.line(format_args!(
            "{:<20} {:<14} {state:<26} {}",
            person.login,
            person.role.code(),
            person.name
        ))?;
    }
    Ok(Verdict::Clean)
}

/// Changes somebody who is there.
fn change(
    args: &OneArgs,
    work: impl FnOnce(&mut dyn crate::store::Db, &Person, &str) -> Result<(), crate::store::StoreError>,
) -> Result<(), Failure> {
    let actor = actor(args.actor.as_deref())?;
    let mut store = Beside::writer(&args.site.read()?.url)?;
    let found = store.transact(|db| match people::by_login(db, &args.login)? {
        Some(person) => work(db, &person, &actor).map(|()| true),
        None => Ok(false),
    })?;
    if found {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "there is nobody called {}: labwire user list",
        args.login
    )))
}

fn disable(args: &OneArgs, out: &mut Out) -> Result<Verdict, Failure> {
    change(args, |db, person, actor| {
        people::disable(db, person, actor, now())
    })?;
    out.line(format_args!("{} may not log in any more", args.login))?;
    Ok(Verdict::Clean)
}

fn reset(args: &OneArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let password = one_time().map_err(random)?;
    let digest = Digest::of(&password).map_err(random)?;
    change(args, |db, person, actor| {
        people::set_password(db, person, (&digest, true), actor, now())
    })?;
    tell(out, &args.login, &password)
}
