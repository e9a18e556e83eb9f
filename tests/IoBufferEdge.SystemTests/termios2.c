/*
 * The emulator has no termios2 (Debian 12's qemu-user answers ENOSYS to TCGETS2 and TCSETS2), which every arm64 kernel has. This
 * library stands before libc for the emulated gateway and makes the two calls of TCGETS and TCSETS, as the kernel's own do: same layout
 * but for the two speeds at the end (asm-generic/termbits.h). Baud rates without a code of their own go through as 38400 baud; what was
 * asked for is what is read back.
 */
#define _GNU_SOURCE
#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES 1024

static struct { unsigned int input, output; } speeds[FILES];

static const struct { unsigned int baud, code; } codes[] = {
	{ 50, B50 }, { 300, B300 }, { 1200, B1200 }, { 2400, B2400 }, { 4800, B4800 }, { 9600, B9600 }, { 19200, B19200 },
	{ 38400, B38400 }, { 57600, B57600 }, { 115200, B115200 }, { 230400, B230400 }, { 460800, B460800 }, { 921600, B921600 },
};

static unsigned int code_of(unsigned int baud)
{
	for (unsigned int i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].baud == baud)
			return codes[i].code;
	return B38400;
}

int ioctl(int fd, unsigned long request, void *argument)
{
	struct termios2 *wide = argument;
	struct termios narrow;
	int result;

	if (fd < 0 || fd >= FILES || (request != TCGETS2 && request != TCSETS2))
		return syscall(SYS_ioctl, fd, request, argument);
	if (request == TCSETS2) {
		memcpy(&narrow, wide, sizeof(narrow));
		if ((narrow.c_cflag & CBAUD) == BOTHER)
			narrow.c_cflag = (narrow.c_cflag & ~CBAUD) | code_of(wide->c_ospeed);
		result = syscall(SYS_ioctl, fd, TCSETS, &narrow);
		if (result == 0) {
			speeds[fd].input = wide->c_ispeed;
			speeds[fd].output = wide->c_ospeed;
		}
		return result;
	}

	result = syscall(SYS_ioctl, fd, TCGETS, &narrow);
	if (result == 0) {
		memcpy(wide, &narrow, sizeof(narrow));
		wide->c_ispeed = speeds[fd].input ? speeds[fd].input : 38400;
		wide->c_ospeed = speeds[fd].output ? speeds[fd].output : 38400;
	}
	return result;
}
