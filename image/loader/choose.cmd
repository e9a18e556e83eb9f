# Sets slot and confirmed from the two copies of the slot state, 4 MiB apart at the start of a partition without a file system (devtype, devnum,
# state_partition). The same state machine as ibe-bootctl: a slot that is confirmed starts without limit; one that is pending has `tries` left, and
# each start takes one; with none left the last confirmed one starts.

part start ${devtype} ${devnum} ${state_partition} copy1
setexpr copy2 ${copy1} + 2000

# A copy is one whose checksum is right and that names a confirmed slot.
setenv copy
for place in ${copy1} ${copy2}; do
  if test -z "${copy}"; then
    setenv confirmed; setenv pending; setenv tries; setenv reset
    if ${devtype} read ${kernel_addr_r} ${place} 20; then
      if env import -c ${kernel_addr_r} 4000 confirmed pending tries reset; then
        if test "${confirmed}" = a -o "${confirmed}" = b; then setenv copy ${place}; fi
      fi
    fi
  fi
done
if test -z "${copy}"; then
  setenv confirmed a
  setenv pending
fi

setenv slot ${confirmed}
if test "${pending}" = a -o "${pending}" = b; then
  setenv left
  if test "${tries}" = 3; then setenv left 2; fi
  if test "${tries}" = 2; then setenv left 1; fi
  if test "${tries}" = 1; then setenv left 0; fi
  if test -n "${left}"; then
    # Started only if the try could be taken off: what cannot be counted has no end. The first copy is whole, on the medium, before the second is
    # touched.
    setenv tries ${left}
    env export -c -s 4000 ${kernel_addr_r} confirmed pending tries reset
    if ${devtype} write ${kernel_addr_r} ${copy1} 20; then
      if ${devtype} read ${ramdisk_addr_r} ${copy1} 20; then
        if cmp.b ${kernel_addr_r} ${ramdisk_addr_r} 4000; then
          setenv slot ${pending}
          ${devtype} write ${kernel_addr_r} ${copy2} 20
        fi
      fi
    fi
  fi
fi
