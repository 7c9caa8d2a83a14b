// SPDX-License-Identifier: GPL-2.0
/*
 * Work in process context, and processes: what is done for them, and with whose rights.
 */
#include "bindings.h"

/* ---- deferred work ---- */

static void vmtp_work_run(struct work_struct *work)
{
	struct vmtp_work *this = container_of(work, struct vmtp_work, work);

	this->run(this->net);
}

void vmtp_helper_work_init(struct vmtp_work *work, struct net *net, void (*run)(struct net *net))
{
	work->net = net;
	work->run = run;
	INIT_WORK(&work->work, vmtp_work_run);
}

void vmtp_helper_work_schedule(struct vmtp_work *work)
{
	schedule_work(&work->work);
}

void vmtp_helper_work_stop(struct vmtp_work *work)
{
	disable_work_sync(&work->work);
}

/* ---- processes ---- */

void *vmtp_helper_process_current(void)
{
	return get_pid(task_tgid(current));
}

const void *vmtp_helper_process_rights(void)
{
	return get_current_cred();
}

/* 0 if the administrator of a network namespace is one of the process too, -EPERM, or -ESRCH. */
static int vmtp_process_check(struct pid *process, const struct net *net)
{
	const struct user_namespace *space = NULL;
	struct task_struct *task;

	rcu_read_lock();
	task = pid_task(process, PIDTYPE_TGID);
	if (task)
		space = __task_cred(task)->user_ns;
	while (space && space != net->user_ns)
		space = space->parent;
	rcu_read_unlock();
	return space ? 0 : task ? -EPERM : -ESRCH;
}

/* As kill(2) by somebody with these rights; NULL: by the administrator of the namespace. */
int vmtp_helper_process_signal(void *process, u32 signal, const void *rights, const struct net *net)
{
	const struct cred *own;
	int result;

	if (!valid_signal(signal))
		return -EINVAL;
	if (!rights) {
		result = vmtp_process_check(process, net);
		return result ?: kill_pid(process, signal, 0);
	}
	own = override_creds(rights);
	result = kill_pid(process, signal, 0);
	revert_creds(own);
	return result;
}

void vmtp_helper_process_put(void *process, const void *rights)
{
	put_pid(process);
	put_cred(rights);
}
