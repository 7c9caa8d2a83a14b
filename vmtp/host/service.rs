// SPDX-License-Identifier: GPL-2.0

//! How an entity takes its Requests, as ModifyService sets it (III): in the message model as they come, in the thread
//! model so many at a time. The threads are the server's own, which wait in recvreq; further ones wait until a Request
//! is answered, and Requests with them.

use super::endpoint::Endpoint;
use crate::bindings as uapi;
use crate::kernel::record::Ref;
use crate::proto::manager::{modified_count, QUEUE_MAX, THREADS_MAX};
use crate::proto::server::Refusal;
use crate::proto::wire::{ModifyService, Record, ResponseCode, ServiceFlags, ThreadRecord};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// See the file. What the socket's options say already is only there: the length of the queue, whom to probe.
pub(super) struct ServiceState {
    flags: AtomicU32,
    /// Of the thread model: Requests that may be handled at a time.
    threads: AtomicU32,
    /// A count of 0 was set: no Request is taken.
    disabled: AtomicBool,
}

impl ServiceState {
    /// The message model.
    pub(super) const fn new() -> Self {
        Self {
            flags: AtomicU32::new(0),
            threads: AtomicU32::new(1),
            disabled: AtomicBool::new(false),
        }
    }

    pub(super) fn flags(&self) -> ServiceFlags {
        ServiceFlags::from_bits(self.flags.load(Ordering::Relaxed))
    }

    fn is_threaded(&self) -> bool {
        self.flags().contains(ServiceFlags::THREAD_SERVICE)
    }

    /// How many Requests may be handled at a time, if that is limited.
    pub(super) fn threads(&self) -> Option<u32> {
        self.is_threaded()
            .then(|| self.threads.load(Ordering::Relaxed))
    }
}

impl Endpoint {
    /// Whether a user may have another Request now.
    #[inline]
    pub(super) fn may_begin(&self) -> bool {
        let threads = self.service.threads();
        threads.is_none_or(|threads| self.in_hand() < threads)
    }

    /// Users have a Request less: there may be one for those that wait.
    #[inline]
    pub(super) fn request_ended(&self) {
        if self.service.is_threaded() && self.has_request() {
            self.wake_receiver();
        }
    }

    /// Why no Request is taken from anybody, if so.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if self.service.disabled.load(Ordering::Relaxed) {
            return Some(Refusal::NoPermission);
        }
        if self
            .service
            .flags()
            .contains(ServiceFlags::SECURITY_REQUIRED)
        {
            // Nothing that gets here is encrypted.
            return Some(Refusal::SecurityRequired);
        }
        None
    }

    /// What QueryEntity tells as count: threads, or messages that may wait.
    pub(super) fn service_count(&self) -> u32 {
        if self.service.disabled.load(Ordering::Relaxed) {
            return 0;
        }
        match self.service.threads() {
            Some(threads) => threads,
            None => self.options.request_queue(),
        }
    }

    /// ModifyService. `listed` are the octets of its threadlist. The new count. Sleeps.
    pub(super) fn modify_service(
        record: &Ref<Self>,
        request: &ModifyService,
        listed: u32,
    ) -> core::result::Result<u32, ResponseCode> {
        let flags = request.flags;
        if !ServiceFlags::ALL.contains(flags) {
            return Err(ResponseCode::VmtpError);
        }
        let threaded = flags.contains(ServiceFlags::THREAD_SERVICE);
        let incremental = flags.contains(ServiceFlags::INCREMENTAL);
        let fewer = incremental && (request.count as i32) < 0;
        let wanted = if threaded && !fewer { request.count } else { 0 };
        let octets = u64::from(wanted).checked_mul(<ThreadRecord as Record>::OCTETS as u64);
        if octets != Some(u64::from(listed)) {
            return Err(ResponseCode::VmtpError);
        }
        let service = &record.service;
        let (present, most) = if threaded {
            (service.threads.load(Ordering::Relaxed), THREADS_MAX)
        } else {
            (record.options.request_queue(), QUEUE_MAX)
        };
        let count = modified_count(present, incremental, request.count, most);
        let authenticated = flags.contains(ServiceFlags::AUTHENTICATION_REQUIRED);
        if authenticated != (record.options.authenticates()) {
            let probe = if authenticated {
                uapi::VMTP_PROBE_ALWAYS
            } else {
                uapi::VMTP_PROBE_HOST
            };
            let _ = record
                .options
                .set(uapi::VMTP_OPT_PROBE_CLIENTS, probe as i32);
        }
        service.flags.store(
            flags.minus(ServiceFlags::INCREMENTAL).bits(),
            Ordering::Relaxed,
        );
        service.disabled.store(count == 0, Ordering::Relaxed);
        if count == 0 {
            Self::end_requests(record);
        } else if threaded {
            service.threads.store(count, Ordering::Relaxed);
        } else {
            let _ = record
                .options
                .set(uapi::VMTP_OPT_REQUEST_QUEUE, count as i32);
        }
        // More may be taken now.
        record.wake_receiver();
        Ok(count)
    }
}
