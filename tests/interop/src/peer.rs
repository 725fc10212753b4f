//! rsipstack as the far end of ringfleet: a registrar and called party that answers every call, and a caller that
//! registers first where it has credentials; over UDP and TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rsipstack::EndpointBuilder;
use rsipstack::dialog::authenticate::{Credential, verify_digest};
use rsipstack::dialog::dialog::{Dialog, DialogState};
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::dialog::invitation::InviteOption;
use rsipstack::dialog::registration::Registration;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::typed::Authorization;
use rsipstack::sip::{Header, Method, Param, Request, StatusCode, Transport, Uri};
use rsipstack::transaction::endpoint::Endpoint;
use rsipstack::transport::TransportLayer;
use rsipstack::transport::tcp_listener::TcpListenerConnection;
use rsipstack::transport::udp::UdpConnection;
use tokio_util::sync::CancellationToken;

pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the called party has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub challenged: AtomicUsize,
    pub registered: AtomicUsize,
    pub invited: AtomicUsize,
    pub confirmed: AtomicUsize,
    pub ended: AtomicUsize,
}

fn sdp(address: SocketAddr) -> Vec<u8> {
    let ip = address.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    )
    .into_bytes()
}

/// Where it is, and over what it speaks there.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    pub address: SocketAddr,
    pub tcp: bool,
}

impl Local {
    /// A URI of this end, with its transport where that is not UDP.
    fn uri(self, user: &str) -> Fallible<Uri> {
        let transport = if self.tcp { ";transport=tcp" } else { "" };
        Ok(format!("sip:{user}@{}{transport}", self.address).try_into()?)
    }
}

async fn endpoint(local: Local, token: &CancellationToken) -> Fallible<Endpoint> {
    let transport = TransportLayer::new(token.clone());
    if local.tcp {
        transport.add_transport(TcpListenerConnection::new(local.address, None).await?.into());
    } else {
        let connection = UdpConnection::create_connection(local.address, None, Some(token.child_token())).await?;
        transport.add_transport(connection.into());
    }
    let endpoint = EndpointBuilder::new().with_cancel_token(token.clone()).with_transport_layer(transport).build();
    let inner = endpoint.inner.clone();
    tokio::spawn(async move { inner.serve().await.ok() });
    Ok(endpoint)
}

/// Whether a REGISTER has the right answer to our challenge.
fn is_authentic(request: &Request, password: &str) -> bool {
    let Some(header) = request.authorization_header() else { return false };
    let Ok(typed) = Authorization::parse(header.value()) else { return false };
    typed.nonce == NONCE && verify_digest(&typed, password, &request.method, header.value())
}

const NONCE: &str = "d9b1c1e3a1";

/// Registers whoever knows the password and answers every call at once until the token is cancelled.
pub async fn answer(local: Local, password: &str, seen: Arc<Seen>, token: CancellationToken) -> Fallible<()> {
    let endpoint = endpoint(local, &token).await?;
    let mut incoming = endpoint.incoming_transactions()?;
    let layer = Arc::new(DialogLayer::new(endpoint.inner.clone()));
    let (sender, mut states) = layer.new_dialog_state_channel();
    let contact = local.uri("far")?;
    let (dialogs, told) = (layer.clone(), seen.clone());
    tokio::spawn(async move {
        while let Some(state) = states.recv().await {
            match state {
                DialogState::Calling(id) => {
                    if let Some(Dialog::Invite(dialog)) = dialogs.get_dialog(&id) {
                        let kind = Header::ContentType("application/sdp".into());
                        dialog.accept(Some(vec![kind]), Some(sdp(local.address))).ok();
                    }
                }
                DialogState::Confirmed(..) => drop(told.confirmed.fetch_add(1, Ordering::Relaxed)),
                DialogState::Terminated(id, _) => {
                    told.ended.fetch_add(1, Ordering::Relaxed);
                    dialogs.remove_dialog(&id);
                }
                _ => {}
            }
        }
    });
    loop {
        let mut transaction = tokio::select! {
            () = token.cancelled() => return Ok(()),
            next = incoming.recv() => match next { Some(next) => next, None => return Ok(()) },
        };
        if let Some(dialog) = layer.match_dialog(&transaction) {
            if let Dialog::Invite(mut dialog) = dialog {
                tokio::spawn(async move { dialog.handle(&mut transaction).await.ok() });
            }
            continue;
        }
        match transaction.original.method {
            Method::Register if is_authentic(&transaction.original, password) => {
                seen.registered.fetch_add(1, Ordering::Relaxed);
                transaction.reply(StatusCode::OK).await?;
            }
            Method::Register => {
                seen.challenged.fetch_add(1, Ordering::Relaxed);
                let challenge = format!("Digest realm=\"stack.test\", nonce=\"{NONCE}\", algorithm=MD5");
                let header = Header::WwwAuthenticate(challenge.into());
                transaction.reply_with(StatusCode::Unauthorized, vec![header], None).await?;
            }
            Method::Invite => {
                seen.invited.fetch_add(1, Ordering::Relaxed);
                let mut dialog =
                    layer.get_or_create_server_invite(&transaction, sender.clone(), None, Some(contact.clone()))?;
                tokio::spawn(async move { dialog.handle(&mut transaction).await.ok() });
            }
            Method::Ack => {}
            _ => transaction.reply(StatusCode::OK).await?,
        }
    }
}

/// Places so many calls one after the other, each hung up after a while; how many were answered. With credentials it
/// registers first, and answers the challenges of its calls.
pub async fn call(
    local: Local,
    callee: &str,
    (calls, talk): (usize, Duration),
    credential: Option<Credential>,
) -> Fallible<usize> {
    let token = CancellationToken::new();
    let endpoint = endpoint(local, &token).await?;
    let layer = Arc::new(DialogLayer::new(endpoint.inner.clone()));
    let callee: Uri = callee.try_into()?;
    let user = credential.as_ref().map_or("caller", |it| it.username.as_str()).to_owned();
    let registrar = Uri { auth: None, ..callee.clone() };
    let mut registration = credential.clone().map(|it| Registration::new(endpoint.inner.clone(), Some(it)));
    if let Some(registration) = &mut registration {
        let response = registration.register(registrar.clone(), Some(300)).await?;
        if response.status_code != StatusCode::OK {
            return Err(format!("REGISTER: {}", response.status_code).into());
        }
    }
    let mut caller = local.uri(&user)?;
    caller.params.retain(|param| !matches!(param, Param::Transport(Transport::Tcp)));
    let mut answered = 0;
    for _ in 0..calls {
        let (sender, _states) = layer.new_dialog_state_channel();
        let option = InviteOption {
            caller: caller.clone(),
            callee: callee.clone(),
            contact: local.uri(&user)?,
            content_type: Some("application/sdp".into()),
            offer: Some(sdp(local.address)),
            credential: credential.clone(),
            ..InviteOption::default()
        };
        let (dialog, response) = layer.do_invite(option, sender).await?;
        answered += usize::from(response.is_some_and(|it| it.status_code == StatusCode::OK));
        tokio::time::sleep(talk).await;
        dialog.bye().await?;
    }
    if let Some(registration) = &mut registration {
        let response = registration.register(registrar, Some(0)).await?;
        if response.status_code != StatusCode::OK {
            return Err(format!("REGISTER that removes: {}", response.status_code).into());
        }
    }
    token.cancel();
    Ok(answered)
}
