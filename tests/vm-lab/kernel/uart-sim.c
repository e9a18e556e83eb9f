// SPDX-License-Identifier: GPL-2.0
/*
 * uart-sim: pairs of UARTs joined by a null-modem cable (ttyUS0 and 1, 2 and 3, ...) or by an RS485 bus.
 *
 * Time: a character takes its bits at the baud rate, one behind the other without drift. A timer fires at the end of each, but nothing
 * depends on when it fires: whoever looks at a port first lets pass what is due. So TEMT is right to the microsecond on a noisy host, and
 * a host that stops the whole guest makes no gap in a frame. 16 characters of FIFO.
 *
 * Transmitter: "driver" says what switches a port's transmitter: nothing (RS232), its RTS, or a line of the gpio-sim chip "iobuf-gpio".
 * A character during which it was off, if only for a moment, is lost. The kernel's RS485 mode (TIOCSRS485) switches RTS.
 *
 * /sys/kernel/debug/uart-sim/
 *   ports    one line per port: counters and states
 *   frames   what was sent without a pause, with when and how the transmitter was switched around it; nanoseconds of CLOCK_MONOTONIC
 *   events   every switch, open, close, first and last bit, in order
 *   control  "PORT WHAT [ARGUMENT]", see uart_sim_control
 *
 * Built in, one processor (user-mode Linux).
 */
#include <linux/debugfs.h>
#include <linux/hrtimer.h>
#include <linux/init.h>
#include <linux/platform_device.h>
#include <linux/seq_file.h>
#include <linux/serial.h>
#include <linux/serial_core.h>
#include <linux/tty.h>
#include <linux/tty_flip.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#define PORTS		4
#define FIFO		16
#define FRAMES		16384
#define EVENTS		65536
#define GPIO_CHIP	"iobuf-gpio"

enum driver_switch { ALWAYS_ON, BY_RTS, BY_GPIO };

enum transmitter { IDLE, BEFORE_SEND, SENDING, AFTER_SEND };

/* What left a port without a pause. */
struct frame {
	u64 start, end;
	u32 bytes, lost;
	s64 lead;	/* from the driver's switching on to the first bit; -1: it was on long before, or off */
	s64 release;	/* from the last stop bit to the driver's switching off; -1: not yet, or there is none */
};

struct uart_sim {
	struct uart_port port;
	struct hrtimer timer;
	struct work_struct cable;
	bool plugged, running;
	u64 char_ns;
	unsigned int bits;

	enum transmitter state;
	u64 due;		/* when the state ends */
	u8 fifo[FIFO], shifting;
	unsigned int head, count;

	enum driver_switch by;
	unsigned int gpio_line;
	bool driver, dipped, driver_used;
	u64 driver_at;

	unsigned int mctrl;
	char armed;		/* the error that the next character received has */
	u64 tx, lost, rx, unread;

	struct frame *frames;	/* a ring, the newest at frame_count - 1 */
	unsigned int frame_count;
};

struct event {
	u64 at;
	const char *what;
	u8 port, value;
};

static struct uart_sim sims[PORTS];
static unsigned long gpio_levels;
static struct event *events;
static unsigned int event_count;
static struct platform_device *device;

static struct uart_sim *to_sim(struct uart_port *port)
{
	return container_of(port, struct uart_sim, port);
}

static unsigned int index_of(struct uart_sim *u)
{
	return u - sims;
}

static struct uart_sim *peer_of(struct uart_sim *u)
{
	return &sims[index_of(u) ^ 1];
}

static void note(struct uart_sim *u, const char *what, unsigned int value, u64 at)
{
	events[event_count++ % EVENTS] = (struct event){ .at = at, .what = what, .port = index_of(u), .value = value };
}

/* ---- the wire */

static bool next_character(struct uart_sim *u, u8 *value)
{
	struct circ_buf *queue = &u->port.state->xmit;

	if (!u->running || uart_circ_empty(queue) || uart_tx_stopped(&u->port))
		return false;
	*value = queue->buf[queue->tail];
	queue->tail = (queue->tail + 1) & (UART_XMIT_SIZE - 1);
	u->port.icount.tx++;
	return true;
}

static void fill_fifo(struct uart_sim *u)
{
	while (u->count < FIFO && next_character(u, &u->fifo[(u->head + u->count) % FIFO]))
		u->count++;
	if (u->running && uart_circ_chars_pending(&u->port.state->xmit) < WAKEUP_CHARS)
		uart_write_wakeup(&u->port);
}

static void receive(struct uart_sim *u, u8 value, bool other_rate)
{
	char flag = other_rate ? TTY_FRAME : u->armed ?: TTY_NORMAL;

	u->armed = 0;
	if (!u->running) {
		u->unread++;
		return;
	}
	u->rx++;
	u->port.icount.rx++;
	switch (flag) {
	case TTY_PARITY:
		u->port.icount.parity++;
		value ^= 1;
		break;
	case TTY_FRAME:
		u->port.icount.frame++;
		break;
	case TTY_OVERRUN:
		u->port.icount.overrun++;
		tty_insert_flip_char(&u->port.state->port, 0, TTY_OVERRUN);
		flag = TTY_NORMAL;
		break;
	}
	if (!tty_insert_flip_char(&u->port.state->port, value, flag))
		u->port.icount.buf_overrun++;
	tty_flip_buffer_push(&u->port.state->port);
}

static struct frame *last_frame(struct uart_sim *u)
{
	return u->frame_count ? &u->frames[(u->frame_count - 1) % FRAMES] : NULL;
}

static void switch_driver(struct uart_sim *u, bool on, u64 at)
{
	struct frame *frame = last_frame(u);

	if (u->driver == on)
		return;
	u->driver = on;
	u->driver_at = at;
	u->driver_used = false;
	if (!on)
		u->dipped = true;
	if (!on && u->state != SENDING && frame && frame->release < 0)
		frame->release = at - frame->end;
	note(u, "driver", on, at);
}

static bool wanted_driver(struct uart_sim *u)
{
	switch (u->by) {
	case BY_RTS:
		return u->mctrl & TIOCM_RTS;
	case BY_GPIO:
		return gpio_levels & BIT(u->gpio_line);
	default:
		return true;
	}
}

static void set_lines(struct uart_sim *u, unsigned int mctrl, u64 at)
{
	unsigned int moved = u->mctrl ^ mctrl;

	u->mctrl = mctrl;
	if (moved & TIOCM_RTS)
		note(u, "rts", !!(mctrl & TIOCM_RTS), at);
	if (moved & TIOCM_DTR)
		note(u, "dtr", !!(mctrl & TIOCM_DTR), at);
	switch_driver(u, wanted_driver(u), at);
	if (moved & (TIOCM_RTS | TIOCM_DTR))
		schedule_work(&peer_of(u)->cable);
}

static bool kernel_switches(struct uart_sim *u)
{
	return u->port.rs485.flags & SER_RS485_ENABLED;
}

static void kernel_rts(struct uart_sim *u, bool sending, u64 at)
{
	bool up = u->port.rs485.flags & (sending ? SER_RS485_RTS_ON_SEND : SER_RS485_RTS_AFTER_SEND);

	set_lines(u, up ? u->mctrl | TIOCM_RTS : u->mctrl & ~TIOCM_RTS, at);
}

static void begin_character(struct uart_sim *u, u64 at)
{
	struct frame *frame;

	u->shifting = u->fifo[u->head];
	u->head = (u->head + 1) % FIFO;
	u->count--;
	if (u->state != SENDING) {
		u->frame_count++;
		frame = last_frame(u);
		*frame = (struct frame){ .start = at, .lead = -1, .release = -1 };
		if (u->by != ALWAYS_ON && u->driver && !u->driver_used)
			frame->lead = at - u->driver_at;
		u->driver_used = true;
		note(u, "first-bit", 0, at);
	}
	u->state = SENDING;
	u->dipped = !u->driver;
	u->due = at + u->char_ns;
}

static void end_character(struct uart_sim *u)
{
	struct uart_sim *peer = peer_of(u);
	struct frame *frame = last_frame(u);

	u->tx++;
	frame->bytes++;
	frame->end = u->due;
	if (u->dipped) {
		u->lost++;
		frame->lost++;
	} else {
		receive(peer, u->shifting, abs((s64)(u->char_ns - peer->char_ns)) > u->char_ns / 20);
	}
}

static void end_sending(struct uart_sim *u)
{
	u64 delay = (u64)u->port.rs485.delay_rts_after_send * NSEC_PER_MSEC;

	note(u, "last-bit", 0, u->due);
	u->state = IDLE;
	if (!kernel_switches(u))
		return;
	if (delay) {
		u->state = AFTER_SEND;
		u->due += delay;
	} else {
		kernel_rts(u, false, u->due);
	}
}

/* Lets pass what is due; the port is locked. */
static void advance(struct uart_sim *u, u64 now)
{
	u64 ready;

	while (u->state != IDLE && u->due <= now) {
		ready = u->due;
		fill_fifo(u);
		switch (u->state) {
		case BEFORE_SEND:
			if (u->count)
				begin_character(u, ready);
			else
				end_sending(u);
			break;
		case SENDING:
			end_character(u);
			fill_fifo(u);
			if (u->count)
				begin_character(u, ready);
			else
				end_sending(u);
			break;
		case AFTER_SEND:
			if (u->count) {
				begin_character(u, ready);
			} else {
				u->state = IDLE;
				kernel_rts(u, false, ready);
			}
			break;
		case IDLE:
			break;
		}
	}
	if (u->state != IDLE)
		hrtimer_start(&u->timer, ns_to_ktime(u->due), HRTIMER_MODE_ABS_HARD);
}

static enum hrtimer_restart timer_fired(struct hrtimer *timer)
{
	struct uart_sim *u = container_of(timer, struct uart_sim, timer);
	unsigned long flags;

	spin_lock_irqsave(&u->port.lock, flags);
	advance(u, ktime_get_ns());
	spin_unlock_irqrestore(&u->port.lock, flags);
	return HRTIMER_NORESTART;
}

static void begin_sending(struct uart_sim *u)
{
	u64 now = ktime_get_ns();

	advance(u, now);
	fill_fifo(u);
	if (!u->count || (u->state != IDLE && u->state != AFTER_SEND))
		return;
	if (!kernel_switches(u)) {
		begin_character(u, now);
	} else if (u->state == AFTER_SEND) {
		begin_character(u, now);
	} else {
		kernel_rts(u, true, now);
		u->state = BEFORE_SEND;
		u->due = now + (u64)u->port.rs485.delay_rts_before_send * NSEC_PER_MSEC;
	}
	hrtimer_start(&u->timer, ns_to_ktime(u->due), HRTIMER_MODE_ABS_HARD);
}

static void stop_dead(struct uart_sim *u)
{
	u->count = 0;
	u->state = IDLE;
	hrtimer_try_to_cancel(&u->timer);
}

/* The other end has moved its RTS or DTR. */
static void cable_moved(struct work_struct *work)
{
	struct uart_sim *u = container_of(work, struct uart_sim, cable);
	unsigned int far = peer_of(u)->mctrl;
	unsigned long flags;

	spin_lock_irqsave(&u->port.lock, flags);
	if (u->running) {
		uart_handle_cts_change(&u->port, !!(far & TIOCM_RTS));
		uart_handle_dcd_change(&u->port, !!(far & TIOCM_DTR));
		wake_up_interruptible(&u->port.state->port.delta_msr_wait);
	}
	spin_unlock_irqrestore(&u->port.lock, flags);
}

/* drivers/gpio/gpio-sim.c tells of every change. */
void uart_sim_gpio_moved(const char *label, const unsigned long *levels)
{
	unsigned long flags;
	struct uart_sim *u;
	u64 now;

	if (!label || strcmp(label, GPIO_CHIP))
		return;
	gpio_levels = *levels;
	for (u = sims; u < sims + PORTS; u++) {
		if (u->by != BY_GPIO)
			continue;
		spin_lock_irqsave(&u->port.lock, flags);
		now = ktime_get_ns();
		advance(u, now);
		switch_driver(u, wanted_driver(u), now);
		spin_unlock_irqrestore(&u->port.lock, flags);
	}
}

/* ---- what the serial core asks */

static unsigned int uart_sim_tx_empty(struct uart_port *port)
{
	struct uart_sim *u = to_sim(port);
	unsigned long flags;
	bool empty;

	spin_lock_irqsave(&port->lock, flags);
	advance(u, ktime_get_ns());
	empty = !u->count && (u->state == IDLE || u->state == AFTER_SEND);
	spin_unlock_irqrestore(&port->lock, flags);
	return empty ? TIOCSER_TEMT : 0;
}

static void uart_sim_set_mctrl(struct uart_port *port, unsigned int mctrl)
{
	struct uart_sim *u = to_sim(port);
	u64 now = ktime_get_ns();

	advance(u, now);
	set_lines(u, mctrl, now);
}

static unsigned int uart_sim_get_mctrl(struct uart_port *port)
{
	unsigned int far = peer_of(to_sim(port))->mctrl;

	return (far & TIOCM_RTS ? TIOCM_CTS : 0) | (far & TIOCM_DTR ? TIOCM_CAR | TIOCM_DSR : 0);
}

static void uart_sim_start_tx(struct uart_port *port)
{
	begin_sending(to_sim(port));
}

/* What is in the FIFO goes out; the queue is asked whether it may. */
static void uart_sim_nothing(struct uart_port *port)
{
}

static void uart_sim_break_ctl(struct uart_port *port, int on)
{
	struct uart_sim *peer = peer_of(to_sim(port));

	if (!on || !peer->running)
		return;
	peer->port.icount.brk++;
	tty_insert_flip_char(&peer->port.state->port, 0, TTY_BREAK);
	tty_flip_buffer_push(&peer->port.state->port);
}

static int uart_sim_startup(struct uart_port *port)
{
	struct uart_sim *u = to_sim(port);
	unsigned long flags;

	spin_lock_irqsave(&port->lock, flags);
	u->running = true;
	note(u, "open", 0, ktime_get_ns());
	spin_unlock_irqrestore(&port->lock, flags);
	return 0;
}

static void uart_sim_shutdown(struct uart_port *port)
{
	struct uart_sim *u = to_sim(port);
	unsigned long flags;

	spin_lock_irqsave(&port->lock, flags);
	u->running = false;
	stop_dead(u);
	note(u, "close", 0, ktime_get_ns());
	spin_unlock_irqrestore(&port->lock, flags);
}

/* The queue is thrown away; the FIFO with it, as 8250s do. */
static void uart_sim_flush_buffer(struct uart_port *port)
{
	struct uart_sim *u = to_sim(port);

	advance(u, ktime_get_ns());
	u->count = 0;
}

static void uart_sim_set_termios(struct uart_port *port, struct ktermios *termios, const struct ktermios *old)
{
	struct uart_sim *u = to_sim(port);
	unsigned int baud = uart_get_baud_rate(port, termios, old, 50, 4000000);
	unsigned long flags;

	spin_lock_irqsave(&port->lock, flags);
	advance(u, ktime_get_ns());
	u->bits = tty_get_frame_size(termios->c_cflag);
	u->char_ns = div_u64((u64)u->bits * NSEC_PER_SEC, baud);
	uart_update_timeout(port, termios->c_cflag, baud);
	spin_unlock_irqrestore(&port->lock, flags);
}

static int uart_sim_rs485_config(struct uart_port *port, struct ktermios *termios, struct serial_rs485 *rs485)
{
	struct uart_sim *u = to_sim(port);
	u64 now = ktime_get_ns();

	advance(u, now);
	note(u, "rs485", rs485->flags & 0xff, now);
	port->rs485 = *rs485;
	if (kernel_switches(u))
		kernel_rts(u, false, now);
	return 0;
}

static const char *uart_sim_type(struct uart_port *port)
{
	return "uart-sim";
}

static int uart_sim_request_port(struct uart_port *port)
{
	return 0;
}

static void uart_sim_config_port(struct uart_port *port, int flags)
{
	port->type = PORT_8250;
}

static const struct uart_ops uart_sim_ops = {
	.tx_empty = uart_sim_tx_empty,
	.set_mctrl = uart_sim_set_mctrl,
	.get_mctrl = uart_sim_get_mctrl,
	.stop_tx = uart_sim_nothing,
	.start_tx = uart_sim_start_tx,
	.stop_rx = uart_sim_nothing,
	.break_ctl = uart_sim_break_ctl,
	.startup = uart_sim_startup,
	.shutdown = uart_sim_shutdown,
	.flush_buffer = uart_sim_flush_buffer,
	.set_termios = uart_sim_set_termios,
	.type = uart_sim_type,
	.release_port = uart_sim_nothing,
	.request_port = uart_sim_request_port,
	.config_port = uart_sim_config_port,
};

static struct uart_driver uart_sim_driver = {
	.owner = THIS_MODULE,
	.driver_name = "uart-sim",
	.dev_name = "ttyUS",
	.nr = PORTS,
};

/* ---- plugging */

static const struct serial_rs485 rs485_supported = {
	.flags = SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND | SER_RS485_RTS_AFTER_SEND | SER_RS485_RX_DURING_TX,
	.delay_rts_before_send = 1,
	.delay_rts_after_send = 1,
};

static int plug(struct uart_sim *u)
{
	struct uart_port *port = &u->port;
	int result;

	if (u->plugged)
		return -EBUSY;
	port->line = index_of(u);
	port->ops = &uart_sim_ops;
	port->dev = &device->dev;
	port->type = PORT_8250;
	port->iotype = UPIO_MEM;
	port->membase = (void *)1;
	port->mapbase = 1 + index_of(u);
	port->fifosize = FIFO;
	port->uartclk = 64000000;
	port->flags = UPF_FIXED_TYPE | UPF_BOOT_AUTOCONF;
	port->rs485_config = uart_sim_rs485_config;
	result = uart_add_one_port(&uart_sim_driver, port);
	u->plugged = !result;
	return result;
}

static int unplug(struct uart_sim *u)
{
	if (!u->plugged)
		return -ENODEV;
	u->plugged = false;
	uart_remove_one_port(&uart_sim_driver, &u->port);
	return 0;
}

/* ---- debugfs */

static int ports_show(struct seq_file *s, void *unused)
{
	struct uart_sim *u;

	for (u = sims; u < sims + PORTS; u++)
		seq_printf(s, "%u plugged=%d open=%d tx=%llu lost=%llu rx=%llu unread=%llu frames=%u driver=%d rts=%d dtr=%d rs485=%u bits=%u char_ns=%llu\n",
			   index_of(u), u->plugged, u->running, u->tx, u->lost, u->rx, u->unread, u->frame_count, u->driver,
			   !!(u->mctrl & TIOCM_RTS), !!(u->mctrl & TIOCM_DTR), u->port.rs485.flags, u->bits, u->char_ns);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(ports);

/* PORT START END BYTES LOST LEAD RELEASE */
static int frames_show(struct seq_file *s, void *unused)
{
	struct uart_sim *u;
	unsigned int i;

	for (u = sims; u < sims + PORTS; u++) {
		for (i = u->frame_count > FRAMES ? u->frame_count - FRAMES : 0; i < u->frame_count; i++) {
			struct frame *f = &u->frames[i % FRAMES];

			seq_printf(s, "%u %llu %llu %u %u %lld %lld\n", index_of(u), f->start, f->end, f->bytes, f->lost, f->lead, f->release);
		}
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(frames);

/* TIME PORT WHAT VALUE */
static int events_show(struct seq_file *s, void *unused)
{
	unsigned int i;

	for (i = event_count > EVENTS ? event_count - EVENTS : 0; i < event_count; i++) {
		struct event *e = &events[i % EVENTS];

		seq_printf(s, "%llu %u %s %u\n", e->at, e->port, e->what, e->value);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(events);

static void forget(struct uart_sim *u)
{
	u->tx = u->lost = u->rx = u->unread = 0;
	u->frame_count = 0;
	event_count = 0;
}

static void set_driver(struct uart_sim *u, enum driver_switch by, unsigned int line)
{
	u64 now = ktime_get_ns();

	advance(u, now);
	u->by = by;
	u->gpio_line = line;
	switch_driver(u, wanted_driver(u), now);
}

static int control_locked(struct uart_sim *u, const char *what, const char *argument, int number)
{
	if (!strcmp(what, "parity"))
		u->armed = TTY_PARITY;		/* the next character received is damaged */
	else if (!strcmp(what, "frame"))
		u->armed = TTY_FRAME;
	else if (!strcmp(what, "overrun"))
		u->armed = TTY_OVERRUN;		/* one got lost before it */
	else if (!strcmp(what, "break"))
		uart_sim_break_ctl(&peer_of(u)->port, 1);
	else if (!strcmp(what, "clear"))
		forget(u);
	else if (!strcmp(what, "driver") && !strcmp(argument, "none"))
		set_driver(u, ALWAYS_ON, 0);
	else if (!strcmp(what, "driver") && !strcmp(argument, "rts"))
		set_driver(u, BY_RTS, 0);
	else if (!strcmp(what, "driver") && !strcmp(argument, "gpio") && number >= 0 && number < BITS_PER_LONG)
		set_driver(u, BY_GPIO, number);
	else if (!strcmp(what, "rs485") && !strcmp(argument, "accept"))
		u->port.rs485_supported = rs485_supported;
	else if (!strcmp(what, "rs485") && !strcmp(argument, "refuse"))
		memset(&u->port.rs485_supported, 0, sizeof(rs485_supported));
	else if (!strcmp(what, "rs485") && !strcmp(argument, "on")) {
		/* As a device tree does it: before anybody opens the port, and with RTS down, whoever left it up. */
		u->port.rs485.flags = SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND;
		kernel_rts(u, false, ktime_get_ns());
	}
	else if (!strcmp(what, "rs485") && !strcmp(argument, "off"))
		memset(&u->port.rs485, 0, sizeof(u->port.rs485));
	else
		return -EINVAL;
	return 0;
}

static ssize_t uart_sim_control(struct file *file, const char __user *from, size_t length, loff_t *offset)
{
	char line[64], what[16], argument[16] = "";
	int index, number = -1, result = 0;
	unsigned long flags;
	struct uart_sim *u;

	if (length >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, length))
		return -EFAULT;
	line[length] = 0;
	if (sscanf(line, "%d %15s %15s %d", &index, what, argument, &number) < 2 || index < 0 || index >= PORTS)
		return -EINVAL;
	u = &sims[index];
	if (!strcmp(what, "unplug")) {
		result = unplug(u);
	} else if (!strcmp(what, "plug")) {
		result = plug(u);
	} else if (!strcmp(what, "hangup")) {
		tty_port_tty_hangup(&u->port.state->port, false);
	} else {
		spin_lock_irqsave(&u->port.lock, flags);
		result = control_locked(u, what, argument, number);
		spin_unlock_irqrestore(&u->port.lock, flags);
	}
	return result ?: length;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = uart_sim_control,
};

static int __init uart_sim_init(void)
{
	struct dentry *folder;
	struct uart_sim *u;
	int result;

	events = vzalloc(array_size(EVENTS, sizeof(*events)));
	if (!events)
		return -ENOMEM;
	result = uart_register_driver(&uart_sim_driver);
	if (result)
		return result;
	device = platform_device_register_simple("uart-sim", -1, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	for (u = sims; u < sims + PORTS; u++) {
		spin_lock_init(&u->port.lock);
		hrtimer_init(&u->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
		u->timer.function = timer_fired;
		INIT_WORK(&u->cable, cable_moved);
		u->char_ns = 1041666;
		u->driver = true;
		u->port.rs485_supported = rs485_supported;
		u->frames = vzalloc(array_size(FRAMES, sizeof(*u->frames)));
		if (!u->frames)
			return -ENOMEM;
		result = plug(u);
		if (result)
			return result;
	}
	folder = debugfs_create_dir("uart-sim", NULL);
	debugfs_create_file("ports", 0444, folder, NULL, &ports_fops);
	debugfs_create_file("frames", 0444, folder, NULL, &frames_fops);
	debugfs_create_file("events", 0444, folder, NULL, &events_fops);
	debugfs_create_file("control", 0200, folder, NULL, &control_fops);
	return 0;
}
device_initcall(uart_sim_init);
