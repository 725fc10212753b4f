//! `peer answer TRANSPORT LOCAL CALLS`: registers and answers until so many calls have ended.
//! `peer call TRANSPORT LOCAL CALLEE CALLS [USER]`: calls; as a user it registers before and afterwards.
//! The password of everybody is in PROBE_PASSWORD.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringfleet_interop::peer::{self, Fallible, Local, Seen};
use rsipstack::dialog::authenticate::Credential;
use tokio_util::sync::CancellationToken;

const WITHIN: Duration = Duration::from_secs(60);

fn local(transport: &str, address: &str) -> Fallible<Local> {
    Ok(Local { address: address.parse()?, tcp: transport == "tcp" })
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let password = std::env::var("PROBE_PASSWORD")?;
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["answer", transport, address, calls] => {
            let (seen, token, calls) = (Arc::new(Seen::default()), CancellationToken::new(), calls.parse()?);
            let (at, told, until) = (local(transport, address)?, seen.clone(), token.clone());
            let known = password.clone();
            let serving = tokio::spawn(async move { peer::answer(at, &known, told, until).await });
            let ended = async {
                while seen.ended.load(Ordering::Relaxed) < calls {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // The last response may still be under way.
                tokio::time::sleep(Duration::from_millis(500)).await;
            };
            let in_time = tokio::time::timeout(WITHIN, ended).await.is_ok();
            token.cancel();
            serving.await??;
            println!("{seen:?}");
            if in_time { Ok(()) } else { Err("not every call ended in time".into()) }
        }
        ["call", transport, address, callee, calls, user @ ..] => {
            let calls = calls.parse()?;
            let credential =
                user.first().map(|user| Credential { username: (*user).to_owned(), password, ..Credential::default() });
            let each = (calls, Duration::from_millis(500));
            let answered = peer::call(local(transport, address)?, callee, each, credential);
            let answered = tokio::time::timeout(WITHIN, answered).await??;
            println!("{answered} of {calls} calls answered");
            if answered == calls { Ok(()) } else { Err("not every call was answered".into()) }
        }
        _ => Err("peer answer TRANSPORT LOCAL CALLS | peer call TRANSPORT LOCAL CALLEE CALLS [USER]".into()),
    }
}
