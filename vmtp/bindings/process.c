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

/* As kill(2) by somebody with these rights; NULL: by the kernel. */
int vmtp_helper_process_signal(void *process, u32 signal, const void *rights)
{
	const struct cred *own;
	int result;

	if (!valid_signal(signal))
		return -EINVAL;
	if (!rights)
		return kill_pid(process, signal, 0);
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
