//! The table of calls in flight: a slot for each, found by its id.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use tonic::Status;

/// The lower bits of an id are the index of its slot, the upper ones count the slot's uses: ids are
/// unique for 2^48 uses of a slot.
const INDEX_BITS: u32 = 16;

/// A table of calls. It grows to the largest number of concurrent calls.
#[derive(Debug)]
pub(crate) struct Slots<Req, Res> {
    slots: Vec<Slot<Req, Res>>,
    free: Vec<u16>,
    /// The slots of requests that are not sent yet, oldest first.
    queue: VecDeque<u16>,
}

#[derive(Debug)]
struct Slot<Req, Res> {
    /// Counts the calls that have used the slot, also the current one.
    uses: u64,
    state: State<Req, Res>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum State<Req, Res> {
    Free,
    Queued(Req),
    Sent,
    Done(Result<Res, Status>),
}

/// No call waits for a response with this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoWaiter;

// === impl Slots ===

impl<Req, Res> Slots<Req, Res> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Queues a request and returns its id, or `None` where all 65,536 slots are taken.
    pub(crate) fn insert(&mut self, request: Req) -> Option<u64> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u16::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot::new());
                index
            }
        };
        let slot = &mut self.slots[usize::from(index)];
        slot.uses = (slot.uses + 1) & (u64::MAX >> INDEX_BITS);
        // 0 means no id.
        slot.uses = slot.uses.max(1);
        slot.state = State::Queued(request);
        self.queue.push_back(index);
        Some(slot.uses << INDEX_BITS | u64::from(index))
    }

    /// Takes the oldest queued request and its id.
    pub(crate) fn next_request(&mut self) -> Option<(u64, Req)> {
        let index = self.queue.pop_front()?;
        let slot = &mut self.slots[usize::from(index)];
        let id = slot.uses << INDEX_BITS | u64::from(index);
        match std::mem::replace(&mut slot.state, State::Sent) {
            State::Queued(request) => Some((id, request)),
            _ => None,
        }
    }

    /// Stores the response of a call and returns the waker of its caller.
    pub(crate) fn respond(&mut self, id: u64, response: Res) -> Result<Option<Waker>, NoWaiter> {
        let sent = |slot: &&mut Slot<Req, Res>| matches!(slot.state, State::Sent);
        let slot = self.find(id).filter(sent).ok_or(NoWaiter)?;
        slot.state = State::Done(Ok(response));
        Ok(slot.waker.take())
    }

    /// Fails every call without a response and returns the wakers of their callers.
    pub(crate) fn fail_all(&mut self, status: &Status) -> Vec<Waker> {
        self.queue.clear();
        let open = |state: &State<Req, Res>| matches!(state, State::Queued(_) | State::Sent);
        let open = self.slots.iter_mut().filter(|slot| open(&slot.state));
        open.filter_map(|slot| {
            slot.state = State::Done(Err(status.clone()));
            slot.waker.take()
        })
        .collect()
    }

    /// The result of a call. Taking it frees the slot.
    pub(crate) fn poll(&mut self, id: u64, cx: &Context<'_>) -> Poll<Result<Res, Status>> {
        let Some(slot) = self.find(id) else {
            return Poll::Ready(Err(Status::internal("the call has ended already")));
        };
        match std::mem::replace(&mut slot.state, State::Free) {
            State::Done(result) => {
                self.free.push(index(id));
                Poll::Ready(result)
            }
            open => {
                slot.state = open;
                match &mut slot.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// Frees the slot of a dropped call, unless the call has ended.
    pub(crate) fn remove(&mut self, id: u64) {
        let Some(slot) = self.find(id) else { return };
        slot.waker = None;
        let state = std::mem::replace(&mut slot.state, State::Free);
        self.free.push(index(id));
        if matches!(state, State::Queued(_)) {
            self.queue.retain(|queued| *queued != index(id));
        }
    }

    /// The slot of the call with this id.
    fn find(&mut self, id: u64) -> Option<&mut Slot<Req, Res>> {
        let slot = self.slots.get_mut(usize::from(index(id)))?;
        let in_use = slot.uses == id >> INDEX_BITS && !matches!(slot.state, State::Free);
        in_use.then_some(slot)
    }
}

const fn index(id: u64) -> u16 {
    (id & 0xffff) as u16
}

// === impl Slot ===

impl<Req, Res> Slot<Req, Res> {
    const fn new() -> Self {
        Self {
            uses: 0,
            state: State::Free,
            waker: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = Slots<char, char>;

    fn polled(slots: &mut Table, id: u64) -> Option<Result<char, tonic::Code>> {
        match slots.poll(id, &Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result.map_err(|status| status.code())),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_call_passes_from_queue_to_response_and_frees_its_slot() {
        let mut slots = Table::new();
        let id = slots.insert('a').unwrap();
        assert_ne!(id, 0);
        assert_eq!(slots.respond(id, 'x').unwrap_err(), NoWaiter);
        assert_eq!(slots.next_request(), Some((id, 'a')));
        assert_eq!(slots.next_request(), None);
        assert_eq!(polled(&mut slots, id), None);
        assert!(slots.respond(id, 'x').unwrap().is_some());
        assert_eq!(slots.respond(id, 'y').unwrap_err(), NoWaiter);
        assert_eq!(polled(&mut slots, id), Some(Ok('x')));
        assert_eq!(slots.in_flight(), 0);
        slots.remove(id);
        assert_eq!(slots.in_flight(), 0);
    }

    #[test]
    fn a_reused_slot_rejects_the_response_of_its_last_call() {
        let mut slots = Table::new();
        let first = slots.insert('a').unwrap();
        slots.next_request();
        slots.remove(first);
        let second = slots.insert('b').unwrap();
        slots.next_request();
        assert_eq!(index(first), index(second));
        assert_eq!(slots.respond(first, 'x').unwrap_err(), NoWaiter);
        assert!(slots.respond(second, 'y').unwrap().is_none());
        assert_eq!(polled(&mut slots, second), Some(Ok('y')));
    }

    #[test]
    fn requests_are_sent_in_order_without_dropped_ones() {
        let mut slots = Table::new();
        let ids: Vec<_> = "abcd".chars().map(|c| slots.insert(c).unwrap()).collect();
        slots.remove(ids[0]);
        slots.remove(ids[2]);
        slots.insert('e').unwrap();
        let sent: String = std::iter::from_fn(|| slots.next_request())
            .map(|(_, request)| request)
            .collect();
        assert_eq!(sent, "bde");
    }

    #[test]
    fn a_million_dropped_calls_use_one_slot_and_leave_the_queue_empty() {
        let mut slots = Table::new();
        for _ in 0..1_000_000 {
            let id = slots.insert('a').unwrap();
            slots.remove(id);
        }
        assert_eq!((slots.slots.len(), slots.free.len()), (1, 1));
        assert_eq!(slots.queue.len(), 0);
    }

    #[test]
    fn the_table_has_65536_slots_and_a_freed_one_is_reused() {
        let mut slots = Table::new();
        let ids: Vec<_> = (0..65_536).map(|_| slots.insert('a').unwrap()).collect();
        assert_eq!(slots.insert('b'), None);
        slots.remove(ids[65_535]);
        assert!(slots.insert('b').is_some());
    }

    #[test]
    fn the_count_of_uses_wraps_past_zero() {
        let mut slots = Table::new();
        slots.insert('a').unwrap();
        slots.remove(1 << INDEX_BITS);
        slots.slots[0].uses = u64::MAX >> INDEX_BITS;
        assert_eq!(slots.insert('b'), Some(1 << INDEX_BITS));
    }

    #[test]
    fn failing_all_calls_keeps_responses_that_have_arrived() {
        let mut slots = Table::new();
        let [done, sent, queued] = ['a', 'b', 'c'].map(|c| slots.insert(c).unwrap());
        slots.next_request();
        slots.next_request();
        slots.respond(done, 'x').unwrap();
        assert_eq!(polled(&mut slots, sent), None);
        assert_eq!(polled(&mut slots, queued), None);
        assert_eq!(slots.fail_all(&Status::aborted("")).len(), 2);
        assert_eq!(slots.next_request(), None);
        assert_eq!(polled(&mut slots, done), Some(Ok('x')));
        for id in [sent, queued] {
            assert_eq!(slots.respond(id, 'y').unwrap_err(), NoWaiter);
            assert_eq!(polled(&mut slots, id), Some(Err(tonic::Code::Aborted)));
        }
        assert_eq!(slots.in_flight(), 0);
    }
}
