//! The operator of the cluster: it adds nodes, promotes them, removes them and transfers leadership, over HTTP, until
//! a task is done or given up.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::dice::Dice;
use super::http::{Answer, Boots, Http};

/// The deadline of one call; a change may wait ten seconds for its commit.
const WITHIN: Duration = Duration::from_secs(12);
/// How often a task is tried before the operator gives it up.
const TRIES: u32 = 40;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a node sometimes stays a learner, in milliseconds: otherwise the differences between a learner and a voter
/// would hardly ever show.
const LEARNER_MS: (u64, u64) = (1_000, 3_500);

/// A task of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Add a running node as a learner.
    Add(u64),
    /// Promote a learner to a voter.
    Promote(u64),
    /// Remove a member.
    Remove(u64),
    /// Transfer leadership to another voter.
    Transfer,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The task.
    pub task: Task,
    /// Whether it was done.
    pub well: bool,
}

/// The tasks to do, and the finished ones. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub struct OperatorQueue {
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    todo: VecDeque<Task>,
    busy: bool,
    done: Vec<Done>,
}

impl OperatorQueue {
    /// Adds a task behind the others.
    pub fn ask(&self, task: Task) {
        self.state.borrow_mut().todo.push_back(task);
    }

    /// Whether there are no tasks.
    pub fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        state.todo.is_empty() && !state.busy
    }

    /// Forgets the tasks that are not begun.
    pub fn clear(&self) {
        self.state.borrow_mut().todo.clear();
    }

    /// The tasks that were finished since the last call.
    pub fn take_done(&self) -> Vec<Done> {
        std::mem::take(&mut self.state.borrow_mut().done)
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.state.borrow_mut();
        let task = state.todo.pop_front();
        state.busy = task.is_some();
        task
    }

    fn finish(&self, task: Task, well: bool) {
        let mut state = self.state.borrow_mut();
        state.busy = false;
        if !well {
            // The later tasks depend on it.
            state.todo.clear();
        }
        state.done.push(Done { task, well });
    }
}

/// Carries out the queue, for ever. `nodes` are the nodes to ask, and `learner` is set to the node that was added and
/// is not a voter yet.
pub async fn operate(
    operator_queue: OperatorQueue,
    nodes: Rc<RefCell<Vec<u64>>>,
    learner: Rc<Cell<Option<u64>>>,
    boots: Boots,
    mut dice: Dice,
) -> turmoil::Result {
    let mut http = Http::new(boots);
    let mut asked = 0;
    loop {
        let Some(task) = operator_queue.next() else {
            sleep(PAUSE).await;
            continue;
        };
        let mut well = false;
        for _ in 0..TRIES {
            asked += 1;
            let known = nodes.borrow().clone();
            let node = known.get(asked % known.len().max(1)).copied().unwrap_or(1);
            if attempt(&mut http, &task, node).await {
                well = true;
                break;
            }
            if !matches!(task, Task::Transfer) {
                sleep(PAUSE).await;
            }
        }
        match task {
            Task::Add(id) if well => {
                learner.set(Some(id));
                if dice.chance(1, 2) {
                    sleep(Duration::from_millis(dice.between(LEARNER_MS.0, LEARNER_MS.1))).await;
                }
            }
            Task::Add(_) | Task::Promote(_) => learner.set(None),
            Task::Remove(_) | Task::Transfer => {}
        }
        operator_queue.finish(task, well);
    }
}

async fn attempt(http: &mut Http, task: &Task, node: u64) -> bool {
    let (method, path, body) = match task {
        Task::Add(id) => {
            let Some(member) = introduce(http, *id).await else { return false };
            (Method::POST, "/v1/cluster/members".to_owned(), member.to_string().into_bytes())
        }
        Task::Promote(id) => (Method::POST, format!("/v1/cluster/members/{id}/promote"), Vec::new()),
        Task::Remove(id) => (Method::DELETE, format!("/v1/cluster/members/{id}"), Vec::new()),
        Task::Transfer => (Method::POST, "/v1/cluster/leader".to_owned(), b"{}".to_vec()),
    };
    match http.ask(node, method, &path, body, WITHIN).await {
        Ok(Answer { status: 200, .. }) => true,
        Ok(answer) => {
            let code = answer.body.get("code").and_then(Value::as_str).unwrap_or_default();
            // An earlier attempt has done it, whose answer did not arrive.
            matches!((task, code), (Task::Remove(_), "member_unknown"))
        }
        Err(_) => false,
    }
}

/// What a node states about itself, which is needed to add it.
async fn introduce(http: &mut Http, id: u64) -> Option<Value> {
    let answer = http.ask(id, Method::GET, "/v1/cluster/status", Vec::new(), WITHIN).await.ok()?;
    let node = answer.body.get("node")?;
    Some(
        json!({"id": id, "peer": node.get("peer")?, "client": node.get("client")?, "storeId": node.get("storeId")?,
        "key": node.get("key")?}),
    )
}
