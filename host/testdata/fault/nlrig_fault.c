// SPDX-License-Identifier: GPL-2.0
/*
 * Breaks its kernel on demand: each word that is written to the parameter "do"
 * is a fault that nlrig must recognise.
 */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/preempt.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <net/net_namespace.h>

static int __used volatile *nowhere;
static struct page *held;

static void saturate(void)
{
	refcount_t r = REFCOUNT_INIT(0);

	refcount_inc(&r);
}

/* Longer than the watchdog allows with watchdog_thresh=1, which is 2 s. */
static void soft_lockup(void)
{
	unsigned long end = jiffies + 5 * HZ;

	preempt_disable();
	while (time_before(jiffies, end))
		cpu_relax();
	preempt_enable();
}

/* The task is never woken. */
static void hung_task(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule();
}

/* Takes all memory there is, in a list that its pages hold. */
static void take(gfp_t gfp)
{
	struct page *p;

	while ((p = alloc_page(gfp))) {
		p->private = (unsigned long)held;
		held = p;
		cond_resched();
	}
}

static void release(void)
{
	struct page *p;

	while ((p = held)) {
		held = (struct page *)p->private;
		p->private = 0;
		__free_page(p);
	}
}

static void flood(void)
{
	static char text[901];
	int i;

	memset(text, 'x', sizeof(text) - 1);
	for (i = 0; i < 100 * 1000 * 1000 / 900; i++) {
		printk(KERN_INFO "%d %s\n", i, text);
		cond_resched();
	}
}

static int do_fault(const char *word, const struct kernel_param *p)
{
	if (!strcmp(word, "warn")) {
		WARN(1, "nlrig fault\n");
	} else if (!strcmp(word, "oops")) {
		*nowhere = 1;
	} else if (!strcmp(word, "bug")) {
		BUG();
	} else if (!strcmp(word, "refcount")) {
		saturate();
	} else if (!strcmp(word, "softlockup")) {
		soft_lockup();
	} else if (!strcmp(word, "hungtask")) {
		hung_task();
	} else if (!strcmp(word, "exhaust")) {
		take(GFP_KERNEL | __GFP_NORETRY);
		release();
	} else if (!strcmp(word, "oom")) {
		take(GFP_KERNEL);
	} else if (!strcmp(word, "flood")) {
		flood();
	} else if (!strcmp(word, "taint")) {
		add_taint(TAINT_WARN, LOCKDEP_STILL_OK);
	} else if (!strcmp(word, "netns")) {
		get_net(current->nsproxy->net_ns);
	} else {
		return -EINVAL;
	}
	return 0;
}

static const struct kernel_param_ops ops = { .set = do_fault };
module_param_cb(do, &ops, NULL, 0200);

MODULE_DESCRIPTION("Faults that nlrig must recognise");
MODULE_LICENSE("GPL");
